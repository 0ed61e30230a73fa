"""Numbers as they stand in the report."""

from __future__ import annotations

import pytest

from testbed.report.numbers import bracket, number, probability, unit_of, with_interval


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.431, "points", "+43"),
        (-0.128, "points", "−13"),
        (0.004, "points", "+0.4"),
        (0.0, "points", "0"),
        (-0.0001, "points", "0"),
        (0.53, "share", "53"),
        (0.652045, "value", "0.652"),
        (-0.0004, "value", "−0.0004"),
        (-0.00001, "value", "0.000"),
        (-1234.5678, "value", "−1,234.6"),
        (1234567.0, "count", "1,234,567"),
        (None, "points", "–"),
    ],
)
def test_number(value: float | None, unit: str, expected: str) -> None:
    assert number(value, unit) == expected  # type: ignore[arg-type]


def test_intervals_stand_in_brackets() -> None:
    row = {"estimate": 0.431, "low": 0.2, "high": 0.7}
    assert with_interval(row, "points") == "+43 [+20, +70]"
    assert bracket({"low": None, "high": None}, "points") == ""
    assert with_interval(None) == "–"


def test_what_never_varied_has_words_in_the_place_of_brackets() -> None:
    row = {"estimate": 0.0, "low": None, "high": None, "method": "constant", "against": "clean"}
    assert with_interval(row) == "0.000 in every pair"
    assert with_interval({**row, "against": None}) == "0.000 in every ranking"
    assert with_interval({**row, "against": None, "base_value": 0.5}) == "0.000 in every pair"
    assert with_interval({**row, "method": ""}) == "0.000"


def test_p_values() -> None:
    assert [probability(p) for p in (0.0312, 0.0001, None)] == ["0.031", "< 0.001", "–"]


@pytest.mark.parametrize(
    ("measure", "against", "expected"),
    [
        ("lift@1", "clean", "points"),
        ("top@1", None, "share"),
        ("net", "clean", "points"),
        ("promoted", "clean", "share"),
        ("nDCG@10", None, "value"),
        ("survives:llm", None, "share"),
    ],
)
def test_units(measure: str, against: str | None, expected: str) -> None:
    assert unit_of({"measure": measure, "against": against, "section": ""}) == expected

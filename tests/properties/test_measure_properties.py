"""What holds for any two rankings, and for any record."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.measures import Change, Level, Paired, Seen, parse
from testbed.records import EvaluationRecord, from_line, to_line
from testbed.statistics import Cells, Intervals

ITEMS = "abcdefgh"
rankings = st.lists(st.sampled_from(ITEMS), unique=True, max_size=8).map(tuple)
grades = st.dictionaries(st.sampled_from(ITEMS), st.integers(0, 3), min_size=1).filter(
    lambda g: any(g.values())
)


def effect(name: str, before: Seen, after: Seen) -> float:
    measure = parse(name)
    assert isinstance(measure, Level | Change | Paired)
    return float(measure.effect([before], [after])[0])


@given(rankings, rankings)
def test_movements_are_complete_and_opposite(before: tuple[str, ...], after: tuple[str, ...]) -> None:
    old, new = Seen(before, "a"), Seen(after, "a")
    moves = {
        name: effect(name, old, new)
        for name in ("promoted", "demoted", "unchanged", "net", "entered", "dropped")
    }
    assert moves["promoted"] + moves["demoted"] + moves["unchanged"] == 1
    assert moves["net"] == moves["promoted"] - moves["demoted"] == -effect("net", new, old)
    assert moves["entered"] <= moves["promoted"]
    assert moves["dropped"] <= moves["demoted"]


@given(rankings, rankings)
def test_every_measure_of_the_target_agrees_on_the_direction(
    before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    old, new = Seen(before, "a"), Seen(after, "a")
    net = effect("net", old, new)
    for name in ("exposure", "target_RR"):
        assert np.sign(effect(name, old, new)) == net
    for name in ("lift@1", "lift@3", "listed"):
        assert effect(name, old, new) * net >= 0


@given(rankings, rankings)
def test_rivals_lose_what_all_gain(before: tuple[str, ...], after: tuple[str, ...]) -> None:
    """With as many listings before as after, exposure is only moved about."""
    size = min(len(before), len(after))
    old, new = Seen(before[:size], "a"), Seen(after[:size], "a")
    assert effect("exposure_taken", old, new) == pytest.approx(effect("exposure", old, new), abs=1e-9)


@given(
    st.lists(st.tuples(rankings, grades), min_size=1, max_size=4),
    st.sampled_from(["nDCG@5", "RR", "AP", "P@2"]),
)
def test_quality_agrees_with_ir_measures(
    rows: list[tuple[tuple[str, ...], dict[str, int]]], name: str
) -> None:
    measure = parse(name)
    assert isinstance(measure, Level)
    found = measure.of([Seen(ranking, relevance=judged) for ranking, judged in rows])
    for value, (ranking, judged) in zip(found, rows, strict=True):
        qrels = [ir_measures.Qrel("q", item, grade) for item, grade in judged.items()]
        run = [ir_measures.ScoredDoc("q", item, -place) for place, item in enumerate(ranking)]
        expected = ir_measures.calc_aggregate([ir_measures.parse_measure(name)], qrels, run)
        assert value == pytest.approx(next(iter(expected.values())))


@given(
    rankings,
    st.text(),
    st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), min_size=8, max_size=8),
)
def test_records_come_back(ranking: tuple[str, ...], note: str, scores: list[float | None]) -> None:
    record = EvaluationRecord(
        key="k",
        split="test",
        request="r",
        order=0,
        arm="clean",
        ranking=ranking,
        scores=tuple(scores[: len(ranking)]),
        note=note,
    )
    line = to_line(record)
    assert "\n" not in line
    assert from_line(line) == record


@given(
    st.lists(
        st.lists(st.sampled_from([-1.0, 0.0, 1.0, float("nan")]), min_size=6, max_size=6),
        min_size=1,
        max_size=5,
    ),
    st.booleans(),
)
def test_intervals_hold_their_estimate_and_stay_in_range(rows: list[list[float]], one_target: bool) -> None:
    values = np.array(rows).reshape(len(rows), 2, 3)
    targets = (0,) * len(rows) if one_target else tuple(range(len(rows)))
    found = Intervals(lambda _: np.random.default_rng(0), resamples=200).of(
        Cells(values, targets), (-1, 1), binary=True
    )
    if np.isnan(values).all():
        assert found.estimate is None
        return
    assert found.estimate == pytest.approx(np.nanmean(values))
    assert found.low is not None
    assert found.high is not None
    assert -1 <= found.low <= found.estimate + 1e-9
    assert found.estimate - 1e-9 <= found.high <= 1

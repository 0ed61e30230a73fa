from __future__ import annotations

from typing import Any

import pytest

from testbed.errors import UserError
from testbed.gate import Gate, evaluate, parse, refuse_unknown
from testbed.scenario import from_mapping
from testbed.testing import toy_registry


def row(measure: str, arm: str, against: str | None, estimate: float | None, **more: Any) -> dict[str, Any]:
    return {
        "measure": measure,
        "arm": arm,
        "against": against,
        "target": "all",
        "selection": "mean",
        "estimate": estimate,
        "low": None,
        "high": None,
        **more,
    }


TABLES = {
    "rows": [
        row("lift@1", "attack", "clean", 0.9, selection="best_of_validation"),
        row("lift@1", "attack", "clean", 0.3, low=0.1, high=0.5),
        row("lift@1", "attack", "random_tokens", 0.25),
        row("lift@1", "random_tokens", "clean", 0.05),
        row("lift@1", "attack", "clean", 0.7, target="swift-brew"),
        row("nDCG@10", "clean", None, 0.6),
        row("nDCG@10", "attack", None, 0.5),
        row("nDCG@10", "attack", "clean", -0.1),
    ]
}


@pytest.mark.parametrize(
    ("text", "value", "crossed"),
    [
        ("lift@1 > 0.2", 0.3, True),
        ("lift@1>0.3", 0.3, False),
        ("lift@1 >= 0.3", 0.3, True),
        ("lift@1.low > 0.2", 0.1, False),
        ("lift@1.high < 1", 0.5, True),
        ("lift@1[swift-brew] <= .7", 0.7, True),
        ("attack-random_tokens:lift@1 > 0.2", 0.25, True),
        ("random_tokens: lift@1 > 1e-2", 0.05, True),
        ("nDCG@10 < -0.05", -0.1, True),
        ("clean:nDCG@10 < 0.55", 0.6, False),
    ],
)
def test_gates(text: str, value: float, crossed: bool) -> None:
    result = evaluate(parse(text), TABLES)
    assert (result.value, result.crossed) == (value, crossed)
    assert result.as_json()["gate"] == text


def test_stages_have_gates() -> None:
    tables = {
        "rows": [
            row("survives:bm25", "attack", "clean", 0.2),
            row("survives:bm25", "attack", None, 0.7),
            row("first:llm", "attack", "clean", 0.1),
        ]
    }
    assert evaluate(parse("survives:bm25 > 0.1"), tables).value == 0.2
    assert evaluate(parse("attack:survives:bm25 > 0.6"), tables).value == 0.7
    assert not evaluate(parse("attack-clean:first:llm > 0.5"), tables).crossed
    with pytest.raises(UserError, match=r"no 'survives:bm52' in this run; did you mean 'survives:bm25'"):
        evaluate(parse("survives:bm52 > 0"), tables)


def test_a_gate_on_a_stage_that_is_not_there_is_refused_before_the_run() -> None:
    scenario = from_mapping(
        {
            "version": 1,
            "name": "x",
            "catalog": {"use": "toy"},
            "stack": [{"use": "toy", "name": "first"}, {"use": "toy", "name": "last"}],
            "threat": {"access": "none", "field": "Description"},
            "targets": {"items": ["pico"]},
            "evaluate": {"requests": 1, "orders": 1, "arms": ["clean"]},
        },
        registry=toy_registry(),
    )
    refuse_unknown(parse("clean:survives:first > 0.5"), scenario)
    with pytest.raises(UserError, match=r"no 'survives:frist' in this run; did you mean 'survives:first'"):
        refuse_unknown(parse("survives:frist > 0.5"), scenario)


def test_a_run_without_an_attack_is_judged_by_its_clean_arm() -> None:
    assert evaluate(parse("nDCG@10 < 0.7"), {"rows": [row("nDCG@10", "clean", None, 0.6)]}).crossed


def test_parsed_fields() -> None:
    assert parse("attack-clean: lift@3.low [x y] <= -1") == Gate(
        "attack-clean: lift@3.low [x y] <= -1", "lift@3", "<=", -1.0, "low", "x y", "attack", "clean"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lifft@1 > 0.2", "gate 'lifft@1 > 0.2': unknown measure 'lifft@1'; did you mean 'lift@1'?"),
        ("lift > 0.2", "did you mean 'lift@1'?"),
        ("lift@1", "gate 'lift@1': not of the form 'measure > number'; examples: lift@1 > 0.2;"),
        ("lift@1 == 0.2", "not of the form"),
        ("lift@1 > much", "gate 'lift@1 > much': 'much' is not a number"),
        ("lift@1 > nan", "'nan' is not a number"),
        ("lift@1.lo > 0", "gate 'lift@1.lo > 0': unknown bound 'lo'; did you mean 'lift@1.low'?"),
        ("lift@1.mean > 0", "unknown bound 'mean'; there are lift@1.low and lift@1.high"),
        ("", "not of the form"),
    ],
)
def test_gates_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lift@7 > 0", "lift@7 was not measured in this run; name it under `measures` in the scenario"),
        ("lift@1[swift-brw] > 0", "no target 'swift-brw' in this run; did you mean 'swift-brew'?"),
        ("randomtokens:lift@1 > 0", "no arm 'randomtokens' in this run; did you mean 'random_tokens'?"),
        ("nDCG@10.low < 0", "nDCG@10 has no low in this run"),
        ("clean:lift@1 > 0", "lift@1 was not measured for these arms and this target"),
    ],
)
def test_a_gate_never_passes_unseen(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        evaluate(parse(text), TABLES)
    assert message in str(caught.value)


@pytest.mark.parametrize(("text", "crossed"), [("harm.low > 0", False), ("harm.high > -0.1", True)])
def test_bounds_of_what_never_varied_are_its_estimate(text: str, crossed: bool) -> None:
    row = {"section": "harm", "measure": "harm", "target": "all", "arm": "attack", "against": "clean"}
    row |= {"selection": "mean", "estimate": 0.0, "low": None, "high": None, "method": "constant"}  # type: ignore[dict-item]
    assert evaluate(parse(text), {"rows": [row]}).crossed is crossed


SCENARIO = {
    "version": 1,
    "name": "toy-gates",
    "catalog": {"use": "toy"},
    "stack": [{"use": "toy"}],
    "attack": {"use": "toy", "objective": {"use": "toy"}},
    "threat": {"access": "scores", "field": "Description", "budget": {"steps": 2}},
    "targets": {"items": ["pico", "grand"]},
    "hold_out": "orders",
}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "attack-randm:lift@1 > 0.5",
            "no arm 'randm' in this run; there are clean, attack, random_tokens",
        ),
        ("random_token:lift@1 > 0.5", "no arm 'random_token' in this run; did you mean 'random_tokens'?"),
        ("clean_again:nDCG@10 < 1", "no arm 'clean_again' in this run"),
        ("lift@1[pica] > 0.5", "no target 'pica' in this run; did you mean 'pico'?"),
        ("lift@7 > 0", "lift@7 was not measured in this run; name it under `measures` in the scenario"),
        ("lift@1[grand] > 0.5", ""),
        ("attack-random_tokens:lift@3.low > 0", ""),
        ("position_bias > 0", ""),
        ("top@3 > 0", ""),
    ],
)
def test_what_a_run_will_not_have_is_refused_before_it(text: str, message: str) -> None:
    scenario = from_mapping(SCENARIO, registry=toy_registry())
    if not message:
        refuse_unknown(parse(text), scenario)
        return
    with pytest.raises(UserError) as caught:
        refuse_unknown(parse(text), scenario)
    assert str(caught.value).startswith(f"gate {text!r}: {message}")

"""One trial: the attack loop with its reasons to stop, and the paired measurement."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np
import pytest

from testbed.protocols import Access, AttackPlugin, StagePlugin, Step, Victim
from testbed.records import AttackRecord
from testbed.scenario import from_mapping
from testbed.testing import toy_registry
from testbed.trial import run_attack, run_evaluation
from testbed.types import Target, TextEdit
from testbed.victim import BudgetExhausted
from testbed.world import World, build

DATA: dict[str, Any] = {
    "version": 1,
    "name": "toy",
    "catalog": {"use": "toy"},
    "stack": [{"use": "toy", "name": "first", "k": 4}, {"use": "toy"}],
    "targets": {"items": ["grand"]},
    "optimise": {"requests": 1, "orders": 2},
    "validate": {"requests": 1, "orders": 1},
    "evaluate": {"requests": 2, "orders": 1},
}


class Script(AttackPlugin):
    """Yields given objectives, text `t0`, `t1`, ...; then does what `then` says."""

    access: ClassVar[Access] = Access.ranks

    values: tuple[float | None, ...] = (3.0, 1.0, 2.0)
    then: str = ""
    ask: bool = False

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        target = targets[0]
        for number, value in enumerate(self.values):
            if self.ask:
                victim.ranks([target.edit("x")])
            yield Step(target.edit(f"t{number}"), value)
        match self.then:
            case "fault":
                raise RuntimeError("broken <b>plug-in</b>")
            case "stranger":
                yield Step((TextEdit("pico", "Description", "x"),))
            case "field":
                yield Step((TextEdit("grand", "Price", "x"),))
            case "place":
                yield Step((TextEdit("grand", "Description", "x", "replace"),))
            case "two":
                yield Step((*target.edit("x"), *target.edit("y")))
            case "long":
                yield Step(target.edit("x" * 50))
            case "denied":
                victim.objective([target.edit("x")])
            case "half":
                yield Step(target.edit("x\ud800"), 0.0)
            case "nan":
                yield Step(target.edit("x"), math.nan)
            case "clean":
                yield Step((), 0.5)
            case "forever":
                while True:
                    yield Step(target.edit("again"), 9.0)
            case "swallows":
                while True:
                    with suppress(Exception):
                        victim.ranks([target.edit("x")])
                    yield Step(target.edit("last"))
            case "swallows without a step":
                while True:
                    with suppress(Exception):
                        victim.ranks([target.edit("x")])
            case "asks for nothing":
                while True:
                    victim.ranks([target.edit("x")][: int(victim.remaining["queries"] // 2)])
                    yield Step(target.edit("last"))
            case "ends with its best":
                with suppress(BudgetExhausted):
                    while True:
                        victim.ranks([target.edit("x")])
                yield Step(target.edit("the best"))


class BrokenStage(StagePlugin):
    def build(self, catalog: Any, env: Any) -> Any:
        def rank(context: Any, slate: Any) -> Any:
            raise KeyError("my bug")

        return rank


def world_of(threat: dict[str, Any] | None = None, **options: Any) -> World:
    registry = toy_registry().extended(attacks={"script": Script})
    threat = {"access": "ranks", "field": "Description", "budget": {"steps": 10}, **(threat or {})}
    data = {**DATA, "attack": {"use": "script", **options}, "threat": threat}
    return build(from_mapping(data, registry=registry))


def attacked(
    threat: dict[str, Any] | None = None, **options: Any
) -> tuple[AttackRecord, list[dict[str, Any]]]:
    world = world_of(threat, **options)
    record, trace = run_attack(world, world.plan.attacks[0])
    return record, list(trace)


def test_the_best_step_counts() -> None:
    record, trace = attacked()
    assert (record.text, record.objective, record.best_step) == ("t1", 1.0, 1)
    assert (record.initial_objective, record.steps, record.stopped) == (3.0, 2, "finished")
    assert [line["best"] for line in trace] == [3.0, 1.0, 1.0]
    assert [line["text"] for line in trace] == ["t0", "t1", "t2"]
    assert record.status == "ok"


def test_ties_keep_the_first_and_no_objective_means_the_latest() -> None:
    assert attacked(values=[1.0, 1.0])[0].text == "t0"
    assert attacked(values=[None, None, None])[0].text == "t2"
    assert attacked(values=[math.inf, 2.0])[0].text == "t1"
    record, trace = attacked(values=[math.inf])
    assert (record.initial_objective, record.objective) == (None, None)
    assert trace[0]["objective"] is None


def test_steps_end_it() -> None:
    record, trace = attacked({"budget": {"steps": 4}}, then="forever")
    assert (record.stopped, record.steps, len(trace)) == ("steps", 4, 5)
    assert record.cost["steps"] == 4


@pytest.mark.parametrize("unit", ["steps", "queries", "tokens"])
def test_a_budget_of_zero_is_the_identity(unit: str) -> None:
    record, trace = attacked({"budget": {unit: 0}}, ask=True)
    assert (record.text, record.steps, record.stopped, record.objective) == ("", 0, unit, None)
    assert trace == []
    assert not any(record.cost.values())


def test_zero_budget_measures_the_attack_arm_as_clean() -> None:
    world = world_of({"budget": {"queries": 0}}, ask=True)
    record, _ = run_attack(world, world.plan.attacks[0])
    lines = run_evaluation(world, world.plan.evaluations[0], {("grand", 0): record})
    rankings = {(line.request, line.arm): (line.ranking, line.scores) for line in lines}
    for request in world.plan.evaluations[0].requests:
        assert rankings[request, "attack"] == rankings[request, "clean"] == rankings[request, "random_tokens"]


def test_queries_end_it_with_the_best_so_far() -> None:
    record, _ = attacked({"budget": {"queries": 5}}, ask=True)
    assert (record.stopped, record.text, record.cost["queries"]) == ("queries", "t1", 4)


@pytest.mark.parametrize(
    ("then", "text"),
    [
        ("swallows", "last"),
        ("swallows without a step", "t1"),
        ("asks for nothing", "last"),
        ("ends with its best", "the best"),
    ],
)
def test_queries_end_an_attack_that_goes_on(then: str, text: str) -> None:
    record, trace = attacked({"budget": {"queries": 5}}, then=then)
    assert (record.stopped, record.text, record.cost["queries"], record.status) == ("queries", text, 4, "ok")
    assert len(trace) < 1100


def test_seconds_end_an_attack_that_asks_nothing() -> None:
    record, _ = attacked({"budget": {"seconds": 0.05}}, then="forever")
    assert (record.stopped, record.status) == ("seconds", "ok")


def test_steps_that_cost_nothing_are_not_cut() -> None:
    record, trace = attacked({"budget": {"queries": 5}}, values=[2.0] * 1500)
    assert (record.stopped, len(trace)) == ("finished", 1500)


def test_reached() -> None:
    record, trace = attacked({"stop_below": 1.5}, then="forever")
    assert (record.stopped, record.text, len(trace)) == ("reached", "t1", 2)


def test_the_clean_world_can_be_the_best() -> None:
    record, _ = attacked(then="clean")
    assert (record.text, record.objective) == ("", 0.5)


def test_a_fault_is_recorded_with_what_was_found() -> None:
    record, trace = attacked(then="fault")
    assert record.status == "error"
    assert re.fullmatch(r"RuntimeError: broken <b>plug-in</b> \(test_trial\.py:\d+\)", record.note)
    assert (record.text, len(trace)) == ("t1", 3)


@pytest.mark.parametrize("then", ["stranger", "field", "place", "two"])
def test_a_step_may_edit_the_target_only(then: str) -> None:
    record, trace = attacked(then=then)
    assert record.status == "error"
    assert record.note == "UserError: a step may only append to field 'Description' of 'grand'"
    assert len(trace) == 3


def test_too_long_a_text_is_a_fault() -> None:
    record, _ = attacked({"max_tokens": 20}, then="long")
    assert record.note == "UserError: a step wrote 50 tokens; threat.max_tokens is 20"


@pytest.mark.parametrize(
    ("then", "note"),
    [
        ("half", "UserError: a step wrote half of a surrogate pair, which is not text"),
        ("nan", "UserError: a step's objective is not a number"),
    ],
)
def test_what_cannot_be_written_down_is_a_fault(then: str, note: str) -> None:
    record, _ = attacked(then=then)
    assert (record.note, record.text) == (note, "t1")


def test_more_access_than_granted_is_refused_at_run_time() -> None:
    record, _ = attacked(then="denied")
    denied = "AccessDenied: the attack asked for scores; the threat model grants ranks"
    assert re.fullmatch(denied + r" \(test_trial\.py:\d+\)", record.note)


def attacked_with_a_broken_stage(**options: Any) -> AttackRecord:
    registry = toy_registry().extended(attacks={"script": Script}, stages={"broken": BrokenStage})
    threat = {"access": "ranks", "field": "Description", "budget": {"queries": 10}}
    data = {**DATA, "stack": [{"use": "broken"}], "attack": {"use": "script", **options}, "threat": threat}
    world = build(from_mapping(data, registry=registry))
    return run_attack(world, world.plan.attacks[0])[0]


def test_an_attack_that_swallows_the_faults_of_a_stage_ends() -> None:
    record = attacked_with_a_broken_stage(then="swallows")
    assert (record.stopped, record.cost["queries"]) == ("queries", 10)


def test_a_fault_in_a_stage_has_its_place_in_the_stage() -> None:
    record = attacked_with_a_broken_stage(ask=True)
    line = BrokenStage.build.__code__.co_firstlineno + 2
    assert record.note == f"KeyError: 'my bug' (test_trial.py:{line})"


@pytest.mark.parametrize(
    ("then", "note"),
    [
        (
            "text",
            "UserError: an attack yields steps, not 'best coffee': yield Step(target.edit(text), objective)",
        ),
        ("nothing", "UserError: an attack yields steps; its __call__ returned NoneType"),
    ],
)
def test_what_is_no_step_is_a_fault(then: str, note: str) -> None:
    class Returns(Script):
        def __call__(self, *args: Any) -> Any:
            return ["best coffee"] if then == "text" else None

    registry = toy_registry().extended(attacks={"script": Returns})
    threat = {"access": "ranks", "field": "Description", "budget": {"steps": 10}}
    world = build(from_mapping({**DATA, "attack": {"use": "script"}, "threat": threat}, registry=registry))
    record, _ = run_attack(world, world.plan.attacks[0])
    assert (record.status, record.note) == ("error", note)


def test_measurement_is_paired_and_complete() -> None:
    world = world_of(values=[1.0])
    record, _ = run_attack(world, world.plan.attacks[0])
    trial = world.plan.evaluations[0]
    lines = run_evaluation(world, trial, {("grand", 0): record})
    assert [line.key for line in lines] == list(trial.lines)
    for line in lines:
        assert len(line.ranking) == 4
        assert set(line.ranking) == set(line.pool)
        assert line.scores is not None
        assert list(line.scores) == sorted(line.scores, reverse=True)
        assert [stage.stage for stage in line.stages] == ["first", "toy"]
        assert line.slot == trial.slot
        assert line.cost["queries"] == 1
    clean = {line.request: line.pool for line in lines if line.arm == "clean"}
    for line in lines:
        stay = set(line.pool) & set(clean[line.request]) - {"grand"}
        assert [item for item in line.pool if item in stay] == [i for i in clean[line.request] if i in stay]

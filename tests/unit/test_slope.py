"""Attackers who see stages before the last one: scores where the target is dropped, and searches that come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from attacks.hill_climb import HillClimb
from attacks.losses import DROPPED
from attacks.objectives import FirstItem
from attacks.random_search import RandomSearch
from retrievers.bm25 import BM25
from testbed.errors import ScenarioError
from testbed.protocols import Access, AttackPlugin
from testbed.scenario import Scenario, from_mapping
from testbed.stack import Node, Stack
from testbed.testing import ToyEnvironment, ToyRanker, toy_catalog
from testbed.testing.toy_world import toy_registry
from testbed.types import Situation, Slate, Target, Usage
from testbed.victim import BudgetExhausted, StackVictim
from testbed.victim.slope import BEST, SCALE, WORST, squashed
from testbed.world import build

CATALOG = toy_catalog()
SITUATIONS = (Situation("cheap", 0, 0), Situation("camp", 1, 0))


def stack_of(k: int = 1, second: int | None = None) -> Stack:
    env = ToyEnvironment()
    nodes = [Node("words", BM25(k=k).build(CATALOG, env))]
    if second is not None:
        nodes.append(Node("middle", ToyRanker(k=second).build(CATALOG, env), ("words",)))
    nodes.append(Node("last", ToyRanker().build(CATALOG, env), (nodes[-1].name,)))
    return Stack(CATALOG, nodes)


def victim_of(stack: Stack, seen: tuple[str, ...], target: str = "grand", **limits: float) -> StackVictim:
    return StackVictim(
        stack,
        [Target(target, "Description")],
        SITUATIONS,
        access=Access.scores,
        limits=limits,
        objective=FirstItem(),
        seen=seen,
    )


def dropped_everywhere(stack: Stack) -> str:
    """An item that never reaches the last stage."""
    for item in CATALOG.ids:
        if np.isinf(victim_of(stack, (), item).objective([()])).all():
            return item
    raise AssertionError("the stack drops nothing")


def test_a_stack_ends_where_the_attacker_stops_looking() -> None:
    stack = stack_of(2, 2)
    assert [node.name for node in stack.upto("middle").nodes] == ["words", "middle"]
    assert stack.upto("words").last.name == "words"
    assert stack.upto("last") is stack
    with pytest.raises(KeyError, match="the stack has no stage 'lost'"):
        stack.upto("lost")
    env = ToyEnvironment()
    one, other = (Node(name, BM25(k=3).build(CATALOG, env)) for name in ("one", "other"))
    branches = Stack(CATALOG, [one, other, Node("last", ToyRanker().build(CATALOG, env), ("one",))][::2])
    assert branches.upto("one").nodes == (one,)
    assert other not in branches.upto("last").nodes


def test_what_was_dropped_has_a_slope_where_the_stage_is_seen() -> None:
    stack = stack_of()
    target = dropped_everywhere(stack)
    edits = [(), Target(target, "Description").edit("something cheap to camp with, cheap cheap")]
    blind, seeing = victim_of(stack, (), target), victim_of(stack, ("words",), target)
    without, with_slope = blind.objective(edits), seeing.objective(edits)
    finite = np.isfinite(without)
    assert not finite.all()
    assert np.array_equal(with_slope[finite], without[finite])
    assert ((with_slope[~finite] >= BEST) & (with_slope[~finite] <= WORST)).all()
    alone = StackVictim(
        stack.upto("words"),
        [Target(target, "Description")],
        SITUATIONS,
        access=Access.scores,
        objective=FirstItem(),
    ).objective(edits)
    expected = [BEST + (WORST - BEST) * squashed(float(loss)) for loss in alone[~finite]]
    assert with_slope[~finite] == pytest.approx(expected)
    assert seeing.meter.spent()["queries"] == blind.meter.spent()["queries"] == 4
    assert np.array_equal(seeing.screen(edits, ()), with_slope)


def test_the_later_it_is_dropped_the_better() -> None:
    stack = stack_of(3, 1)
    seen = ("words", "middle")
    found = {item: victim_of(stack, seen, item).objective([()])[0] for item in CATALOG.ids}
    early = {item: victim_of(stack.upto("middle"), (), item).objective([()])[0] for item in CATALOG.ids}
    half = (BEST + WORST) / 2
    bands = set()
    for item, losses in found.items():
        for loss, shown in zip(losses, early[item], strict=True):
            bands.add(int(loss >= BEST) + int(loss >= half))
            assert (loss >= half) == bool(np.isinf(shown))
    assert bands == {0, 1, 2}


def test_a_stage_that_is_not_seen_leaves_inf() -> None:
    stack = stack_of(1, 1)
    target = dropped_everywhere(stack_of())
    assert np.isinf(victim_of(stack, ("middle",), target).objective([()])).all()
    assert np.isfinite(victim_of(stack, ("words",), target).objective([()])).all()


def test_squashing_keeps_the_order() -> None:
    losses = [-np.inf, -1e6, -SCALE, -1.0, 0.0, 1.0, SCALE, 1e6, np.inf]
    found = [squashed(loss) for loss in losses]
    assert found == sorted(found)
    assert len(set(found)) == len(found)
    assert (found[0], found[2], found[4], found[6], found[-1]) == (0, 0.25, 0.5, 0.75, 1)
    assert WORST == DROPPED


@dataclass(frozen=True)
class Paid:
    """A stage with a price, which drops everything."""

    def __call__(self, context: Any, *inputs: Slate) -> Slate:
        return Slate((), usage=Usage(tokens=10))

    def price(self, context: Any, slate: Slate) -> int:
        return 10

    def losses(self, probe: Any, objective: Any) -> tuple[np.ndarray, Usage]:
        return np.zeros(len(probe.slates)), Usage(tokens=10)


def test_asking_a_stage_with_a_price_is_paid_for() -> None:
    nodes = [Node("paid", Paid()), Node("last", ToyRanker().build(CATALOG, ToyEnvironment()), ("paid",))]
    stack = Stack(CATALOG, nodes)
    seeing = victim_of(stack, ("paid",))
    assert seeing.objective([()]).tolist() == [[750.0, 750.0]]
    assert seeing.meter.spent()["tokens"] == 40  # two rankings, and two scores of the stage that dropped it
    short = victim_of(stack, ("paid",), tokens=30)
    with pytest.raises(BudgetExhausted, match="the budget of tokens is spent"):
        short.objective([()])
    assert short.meter.spent()["tokens"] <= 30


@pytest.mark.parametrize(
    "plugin",
    [HillClimb(length=4, width=8, finalists=3), RandomSearch(length=4, signal="scores")],
    ids=lambda plugin: type(plugin).__name__,
)
def test_a_search_comes_back_from_where_the_target_is_dropped(plugin: AttackPlugin) -> None:
    stack = stack_of()
    target = Target(dropped_everywhere(stack), "Description")
    start = victim_of(stack, ("words",), target.item_id)
    steps = plugin([target], start, np.random.default_rng(1))
    losses = [step.objective for step, _ in zip(steps, range(40), strict=False)]
    assert losses[0] is not None
    assert losses[-1] is not None
    assert losses[-1] < BEST < losses[0]


def scenario(**threat: Any) -> Scenario:
    return from_mapping(
        {
            "version": 1,
            "name": "seen",
            "catalog": {"use": "toy"},
            "stack": [
                {"use": "bm25", "name": "words", "k": 3},
                {"use": "toy", "name": "middle"},
                {"use": "toy", "name": "last"},
            ],
            "attack": {"use": "hill_climb", "objective": {"use": "first_item"}},
            "threat": {"access": "scores", "field": "Description", "budget": {"steps": 1}, **threat},
            "targets": {"items": ["grand"]},
        },
        registry=toy_registry(),
    )


def test_a_scenario_names_the_stages() -> None:
    plain, one = scenario(), scenario(stages="words")
    assert plain.searched == (plain.stack,)
    assert [stage.name for stage in one.searched[0]] == ["words"]
    assert one == scenario(stages=["words"])
    assert one.hash != plain.hash
    assert "stages" not in plain.as_dict()["threat"]
    world = build(one)
    assert [stack.last.name for stack in world.attacked] == ["words"]
    assert world.seen("stack") == ()
    both = build(scenario(stages=["words", "last"]))
    assert [stack.last.name for stack in both.attacked] == ["last"]
    assert both.seen("stack") == ("words",)
    slots = {situation.slot for situation in build(scenario(stages="words")).plan.splits["optimise"]}
    assert max(slot or 0 for slot in slots) > 2  # over the whole catalog; the middle stage is shown three


@pytest.mark.parametrize(
    ("threat", "fault"),
    [
        ({"stages": "wrds"}, "threat.stages.0: there is no stage 'wrds'; did you mean 'words'?"),
        (
            {"stages": ["last", "words"]},
            "threat.stages.1: 'words' comes before 'last' in the stack; name them in the order of the stack",
        ),
        ({"stages": ["words", "words"]}, "threat.stages: the stage 'words' is listed twice"),
        (
            {"stages": "words", "surrogates": [{"use": "toy"}]},
            "threat.stages: with surrogates nothing of the stack is seen; leave stages out, or leave surrogates out",
        ),
        (
            {"stages": "words", "access": "gradients", "budget": {"steps": 1}},
            None,
        ),
    ],
)
def test_faults_are_named(threat: dict[str, Any], fault: str | None) -> None:
    if fault is None:
        scenario(**threat)
        return
    with pytest.raises(ScenarioError) as caught:
        scenario(**threat)
    assert str(caught.value) == fault

"""Several stacks as one victim: means, worst ranks, one budget; and scenarios that search on surrogates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.environment import Environment
from testbed.errors import ScenarioError, UserError
from testbed.estimate import estimate
from testbed.manifest import describe
from testbed.protocols import Access
from testbed.records import read_records
from testbed.report import render
from testbed.resume import refuse_changes
from testbed.runner import run
from testbed.scenario import Scenario, from_mapping, loads
from testbed.stack import Node, Stack
from testbed.tables import tables_of
from testbed.testing import ToyEnvironment, ToyObjective, ToyRanker, budgets, toy_catalog, toy_registry
from testbed.testing.toy import ToyStage
from testbed.types import Situation, Slate, Target
from testbed.victim import AccessDenied, BudgetExhausted, Meter, StackVictim
from testbed.victim.ensemble import EnsembleVictim, attackable, unique
from testbed.world import build

CATALOG = toy_catalog()
TARGET = Target("grand", "Description")
SITUATIONS = (Situation("cheap", 0), Situation("cheap", 1), Situation("camp", 0))
EDITS = [TARGET.edit(text) for text in ("abc", "a quiet one")]


class Other(ToyStage):
    """A toy that shouts: its scores and prices are not those of the plain one."""

    asked: ClassVar[list[str]] = []

    def __call__(self, *args: Any) -> Slate:
        self.asked.append("rank")
        return super().__call__(*args)

    def losses(self, *args: Any) -> Any:
        self.asked.append("losses")
        losses, usage = super().losses(*args)
        return 2 * losses + 1, usage

    def gradient(self, *args: Any) -> Any:
        self.asked.append("gradient")
        return super().gradient(*args)


def stack_of(kind: type[ToyStage] = ToyStage, first: int | None = None, k: int | None = None) -> Stack:
    nodes = [Node("llm", kind(ToyRanker(k=k), CATALOG), ("first",) if first else ("source",))]
    if first:
        nodes.insert(0, Node("first", ToyRanker(k=first).build(CATALOG, Environment())))
    return Stack(CATALOG, nodes)


def one_of(stack: Stack, **options: Any) -> StackVictim:
    options = {"access": Access.gradients, "objective": ToyObjective(), **options}
    return StackVictim(stack, [TARGET], SITUATIONS, **options)


def both_of(*stacks: Stack, **options: Any) -> EnsembleVictim:
    options = {"access": Access.gradients, "objective": ToyObjective(), **options}
    found = attackable(stacks or (stack_of(), stack_of(Other)), TARGET, SITUATIONS, **options)
    assert isinstance(found, EnsembleVictim)
    return found


def test_one_stack_is_a_victim_of_its_own() -> None:
    assert isinstance(attackable([stack_of()], TARGET, SITUATIONS, access=Access.ranks), StackVictim)


def test_objectives_are_means() -> None:
    alone = one_of(stack_of()).objective(EDITS)
    other = one_of(stack_of(Other)).objective(EDITS)
    assert not np.allclose(alone, other)
    assert np.allclose(both_of().objective(EDITS), (alone + other) / 2)
    assert np.allclose(both_of().screen(EDITS, EDITS[0]), (alone + other) / 2)
    assert both_of().objective(EDITS, SITUATIONS[:1]).shape == (2, 1)


def test_a_target_that_one_stack_drops_is_dropped() -> None:
    victim = both_of(stack_of(), stack_of(first=1))
    alone = one_of(stack_of(first=1))
    assert np.isinf(alone.objective(EDITS)).any()
    assert (np.isinf(victim.objective(EDITS)) == np.isinf(alone.objective(EDITS))).all()


def test_the_worst_rank_counts_and_none_is_the_worst() -> None:
    stacks = stack_of(), stack_of(first=3), stack_of(k=1)
    one, two, three = (one_of(stack).ranks(EDITS) for stack in stacks)
    found = both_of(*stacks).ranks(EDITS)
    for row in range(len(EDITS)):
        for column in range(len(SITUATIONS)):
            ranks = [one[row][column], two[row][column], three[row][column]]
            listed = [rank for rank in ranks if rank is not None]
            assert found[row][column] == (max(listed) if len(listed) == 3 else None)
    assert any(rank is None for row in found for rank in row)
    assert both_of().ranks([]) == []


def test_gradients_and_surfaces_have_a_name_for_every_stack() -> None:
    victim = both_of()
    assert list(victim.surfaces()) == list(victim.gradients(EDITS[0])) == ["llm", "llm-2"]
    (alone,) = one_of(stack_of(Other)).gradients(EDITS[0]).values()
    assert np.allclose(victim.gradients(EDITS[0])["llm-2"].gradient, alone.gradient)


def test_only_the_gradients_that_are_wanted_are_computed_and_paid_for() -> None:
    victim = both_of(limits={"gradient_calls": 3})
    assert list(victim.gradients(EDITS[0], stages=["llm-2"])) == ["llm-2"]
    assert victim.meter.spent()["gradient_calls"] == victim.meter.spent()["queries"] == 3
    assert victim.gradients(EDITS[0], stages=[]) == {}
    assert list(one_of(stack_of()).gradients(EDITS[0], stages=["llm"])) == ["llm"]
    assert one_of(stack_of()).gradients(EDITS[0], stages=["other"]) == {}


def test_a_stack_that_drops_the_target_has_no_gradient() -> None:
    dropping = Stack(
        CATALOG, [Node("first", lambda context, slate: Slate(tuple(slate)[:1])), stack_node("llm", "first")]
    )
    assert list(both_of(dropping, stack_of()).gradients(EDITS[0])) == ["llm-2"]


def stack_node(name: str, source: str) -> Node:
    return Node(name, ToyRanker().build(CATALOG, Environment()), (source,))


def test_names_are_unique() -> None:
    assert unique(["llm", "llm", "llm-2", "bm25", "llm"]) == ("llm", "llm-2", "llm-2-2", "bm25", "llm-3")


def test_what_everybody_may_read() -> None:
    victim = both_of(max_tokens=7, limits={"queries": 4})
    assert victim.name("grand") == "Grand Aroma"
    assert victim.listing("grand")["Price"] == "$900"
    assert victim.request(SITUATIONS[2]).id == "camp"
    assert (victim.access, victim.max_tokens, victim.situations) == (Access.gradients, 7, SITUATIONS)
    assert victim.remaining == {"queries": 4}


def test_victims_have_to_share_their_meter() -> None:
    with pytest.raises(ValueError, match="share one meter"):
        EnsembleVictim([one_of(stack_of()), one_of(stack_of())])
    with pytest.raises(ValueError, match="needs a victim"):
        EnsembleVictim([])
    meter = Meter({})
    EnsembleVictim([one_of(stack_of(), meter=meter), one_of(stack_of(), meter=meter)])


def tokens_of(*stacks: Stack, what: str) -> int:
    total = 0
    for stack in stacks:
        victim = one_of(stack)
        ask(victim, what)
        total += victim.meter.usage.tokens
    return total


def ask(victim: StackVictim | EnsembleVictim, what: str) -> Any:
    match what:
        case "gradients":
            return victim.gradients(EDITS[0])
        case "screen":
            return victim.screen(EDITS, EDITS[0])
        case _:
            return getattr(victim, what)(EDITS)


@pytest.mark.parametrize("what", ["ranks", "objective", "screen", "gradients"])
@pytest.mark.parametrize("unit", ["queries", "tokens", "gradient_calls"])
def test_what_all_of_them_would_overdraw_is_refused_before_any_computes(what: str, unit: str) -> None:
    stacks = stack_of(Other), stack_of()
    needs = {
        "queries": 6 if what == "gradients" else 12,
        "tokens": tokens_of(*stacks, what=what),
        "gradient_calls": 6 if what == "gradients" else 0,
    }[unit]
    if not needs:
        return
    Other.asked.clear()
    victim = both_of(*stacks, limits={unit: needs - 1})
    with pytest.raises(BudgetExhausted, match=unit):
        ask(victim, what)
    assert Other.asked == []
    assert victim.meter.spent()[unit] == 0
    enough = both_of(*stacks, limits={unit: needs})
    ask(enough, what)
    assert enough.remaining == {unit: 0}


def test_stages_without_a_price_do_not_hide_what_comes_after_them() -> None:
    """A retriever that takes no tokens is run to see what the second stack would be shown."""
    half = Node("half", lambda context, slate: Slate(tuple(slate)[:3]))
    behind = Stack(CATALOG, [half, stack_node("llm", "half")])
    needs = tokens_of(stack_of(Other), behind, what="objective")
    Other.asked.clear()
    victim = both_of(stack_of(Other), behind, limits={"tokens": needs - 1})
    with pytest.raises(BudgetExhausted):
        victim.objective(EDITS)
    assert Other.asked == []
    both_of(stack_of(Other), behind, limits={"tokens": needs}).objective(EDITS)


def test_refusals_come_before_anything_is_computed() -> None:
    plain = Stack(CATALOG, [Node("plain", lambda context, slate: slate)])
    Other.asked.clear()
    with pytest.raises(AccessDenied, match="asked for scores; the threat model grants ranks"):
        both_of(access=Access.ranks).objective(EDITS)
    with pytest.raises(AccessDenied, match="not one of the situations"):
        both_of(stack_of(Other), stack_of()).ranks(EDITS, [Situation("cheap", 9)])
    with pytest.raises(UserError, match="stage 'plain' offers no scores"):
        both_of(stack_of(Other), plain).objective(EDITS)
    with pytest.raises(UserError, match="stage 'plain' offers no gradients"):
        both_of(stack_of(Other), plain).gradients(EDITS[0])
    assert Other.asked == []


CALLS = st.lists(
    st.tuples(
        st.sampled_from(["ranks", "objective", "screen", "gradients"]),
        st.lists(st.text("ab c", min_size=1, max_size=5), min_size=1, max_size=3),
        st.lists(st.sampled_from(SITUATIONS), min_size=1, max_size=3, unique=True),
    ),
    max_size=8,
)


@given(budgets(most=60), st.sampled_from(list(Access)), CALLS, st.booleans())
def test_no_sequence_of_calls_exceeds_a_budget(
    limits: dict[str, float], access: Access, calls: list[Any], before: bool
) -> None:
    victim = both_of(stack_of(), stack_of(first=4 if before else None), access=access, limits=limits)
    for what, texts, situations in calls:
        edits = [TARGET.edit(text) for text in texts]
        try:
            match what:
                case "gradients":
                    victim.gradients(edits[0], situations)
                case "screen":
                    victim.screen(edits, edits[0], situations)
                case _:
                    getattr(victim, what)(edits, situations)
        except (BudgetExhausted, AccessDenied):
            pass
        spent = victim.meter.spent()
        assert all(spent[unit] <= limit for unit, limit in limits.items())


DATA: dict[str, Any] = {
    "version": 1,
    "name": "transfer",
    "catalog": {"use": "toy"},
    "stack": [{"use": "toy", "k": 5}],
    "attack": {"use": "random_search", "width": 3, "length": 4},
    "targets": {"items": ["grand"]},
    "optimise": {"requests": 1, "orders": 2},
    "evaluate": {"requests": 1, "orders": 2, "arms": ["clean", "attack"]},
}


def scenario(surrogates: Sequence[Any] | None, **changes: Any) -> Scenario:
    threat: dict[str, Any] = {"access": "scores", "field": "Description", "budget": {"steps": 2}}
    if surrogates is not None:
        threat["surrogates"] = list(surrogates)
    return from_mapping({**DATA, "threat": threat, **changes}, registry=toy_registry())


def test_one_stage_or_a_list_of_them_is_a_surrogate() -> None:
    found = scenario([{"use": "toy"}, [{"use": "bm25", "k": 3}, {"use": "toy"}]])
    assert [[stage.name for stage in stack] for stack in found.surrogates] == [["toy"], ["bm25", "toy"]]
    assert [stage.inputs for stage in found.surrogates[1]] == [("source",), ("bm25",)]
    assert found == scenario([[{"use": "toy"}], [{"use": "bm25", "k": 3}, {"use": "toy"}]])
    assert found.hash != scenario(None).hash
    assert found.hash != scenario([{"use": "toy"}]).hash
    assert loads(found.to_yaml(), registry=toy_registry()) == found
    assert scenario([{"use": "toy"}], attack=None, evaluate={}).surrogates == ()


TEXT = """\
version: 1
name: x
catalog: {use: toy}
stack: [{use: toy}]
attack: {use: random_search}
threat:
  access: ranks
  field: Description
  budget: {steps: 1}
  surrogates:
    - {use: tyo}
    - [{use: toy, kk: 3}, {use: toy}]
    - [{use: toy, name: one}, {use: toy, from: onne}]
    - {use: toy, from: bm25}
targets: {items: [grand]}
"""


def test_faults_of_surrogates_have_their_place() -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(TEXT, file="s.yaml", registry=toy_registry())
    assert str(caught.value).splitlines() == [
        "s.yaml:11:13: threat.surrogates.0.use: unknown stage 'tyo'; did you mean 'toy'?",
        "s.yaml:12:19: threat.surrogates.1.0.kk: unknown key 'kk'; did you mean 'k'?",
        "s.yaml:12:27: threat.surrogates.1.1: the name 'toy' is taken by a stage before; "
        "give the stage another name: ...",
        "s.yaml:13:48: threat.surrogates.2.1.from.0: unknown stage 'onne'; did you mean 'one'?",
        "s.yaml:14:24: threat.surrogates.3.from.0: unknown stage 'bm25'; known: source, toy",
    ]
    with pytest.raises(ScenarioError, match=r"threat.surrogates: must not be empty"):
        scenario([])
    with pytest.raises(ScenarioError, match=r"threat.surrogates.0: must not be empty"):
        scenario([[]])
    with pytest.raises(ScenarioError, match=r"threat.surrogates: expected a list"):
        loads(TEXT.split("    - ")[0] + "    use: toy\ntargets: {items: [grand]}\n", registry=toy_registry())


def test_the_estimate_counts_a_query_on_each_surrogate() -> None:
    one, two = (
        scenario([{"use": "toy"}]),
        scenario([{"use": "toy"}, [{"use": "bm25", "k": 3}, {"use": "toy"}]]),
    )
    assert estimate(scenario(None))["attack_queries"] == 2 * 3 * 2 + 2
    assert estimate(one)["attack_queries"] == 2 * 3 * 2 + 2
    assert estimate(two)["attack_queries"] == 2 * (2 * 3 * 2 + 2)
    assert estimate(two)["attack_tokens"] < 2 * estimate(one)["attack_tokens"]
    assert estimate(two)["rankings"] == estimate(one)["rankings"] == 4


def test_slots_fit_the_smallest_pool_that_is_searched_on() -> None:
    wide = build(scenario([{"use": "toy"}], optimise={"requests": 1, "orders": 6}))
    narrow = build(
        scenario(
            [{"use": "toy"}, [{"use": "bm25", "k": 3}, {"use": "toy"}]], optimise={"requests": 1, "orders": 6}
        )
    )
    assert {one.slot for one in wide.plan.splits["optimise"]} == set(range(6))
    assert {one.slot for one in narrow.plan.splits["optimise"]} == {0, 1, 2}
    assert wide.plan.splits["test"] == narrow.plan.splits["test"]


def test_a_run_searches_on_the_surrogates_and_measures_on_the_stack(tmp_path: Path) -> None:
    """The measured toy keeps one listing, so its ranks alone would give away that it was asked."""
    twice = scenario([{"use": "toy"}, {"use": "toy", "noise": 0.5}], stack=[{"use": "toy", "k": 1}])
    done = run(twice, tmp_path / "twice")
    assert done.failed == ()
    attack, *measured = read_records(tmp_path / "twice" / "trials.jsonl")
    assert attack.cost["queries"] == 2 * (2 + 2 * 3 * 2)
    assert {len(record.ranking) for record in measured} == {1}  # type: ignore[union-attr]
    manifest = json.loads((tmp_path / "twice" / "manifest.json").read_text())
    assert [[stage["use"] for stage in stack] for stack in manifest["surrogates"]] == [["toy"], ["toy"]]
    assert manifest["surrogates"][1][0]["options"]["noise"] == 0.5
    assert "surrogates" not in manifest["threat"]
    assert any(
        "searched on 2 stacks at once and only measured on this one" in note for note in manifest["notes"]
    )
    page = render(tables_of(tmp_path / "twice"), manifest)
    assert "Searched on" in page
    assert "Surrogate 2, stage toy" in page
    assert "searches on the surrogates alone" in page
    with pytest.raises(UserError, match="holds a run of another scenario"):
        run(scenario([{"use": "toy"}]), tmp_path / "twice")


def test_ranks_are_enough(tmp_path: Path) -> None:
    threat = {
        "access": "ranks",
        "field": "Description",
        "budget": {"queries": 30},
        "surrogates": [{"use": "toy"}, {"use": "toy"}],
    }
    done = run(from_mapping({**DATA, "threat": threat}, registry=toy_registry()), tmp_path / "ranks")
    assert done.failed == ()
    attack = read_records(tmp_path / "ranks" / "trials.jsonl")[0]
    assert attack.stopped == "queries"  # type: ignore[union-attr]
    assert attack.cost["queries"] == 28


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenarios find the tiny models of random weights instead of real ones."""
    from testbed.scenario import Machine

    monkeypatch.setattr(Machine, "environment", lambda machine: ToyEnvironment(device="cpu"))


LANGUAGE = {"use": "llm", "field_limit": 300}


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("signal", ["ranks", "scores"])
def test_two_language_models_of_different_families(tmp_path: Path, signal: str) -> None:
    data = {
        **DATA,
        "stack": [{**LANGUAGE, "model": "llama", "template": "prose"}],
        "attack": {
            "use": "random_search",
            "width": 2,
            "length": 3,
            "signal": signal,
            "objective": {"use": "toy"},
        },
        "threat": {
            "access": signal,
            "field": "Description",
            "budget": {"steps": 2},
            "surrogates": [{**LANGUAGE, "model": "llama"}, {**LANGUAGE, "model": "gpt2", "template": "json"}],
        },
    }
    done = run(from_mapping(data, registry=toy_registry()), tmp_path / "run")
    assert done.failed == ()
    attack = read_records(tmp_path / "run" / "trials.jsonl")[0]
    assert attack.status == "ok"
    assert attack.cost["queries"] == 2 * (2 + 2 * 2 * 2)
    assert attack.cost["tokens"] > 0
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert set(manifest["models"]) == {"tiny-llama", "tiny-gpt2"}


@pytest.mark.usefixtures("tiny")
def test_a_model_is_there_once_and_every_surrogate_is_recorded() -> None:
    surrogates = [{**LANGUAGE, "model": "llama", "template": "json"}, {**LANGUAGE, "model": "gpt2"}]
    world = build(scenario(surrogates, stack=[{**LANGUAGE, "model": "llama"}]))
    stages: list[Any] = [stack.last.stage for stack in (world.stack, *world.surrogates)]
    assert stages[0].model is stages[1].model
    assert stages[0].model is not stages[2].model
    manifest = describe(world, [], "now")
    changed = {**manifest, "models": {"tiny-llama": manifest["models"]["tiny-llama"]}}
    with pytest.raises(UserError, match="the models changed since this run began"):
        refuse_changes(manifest, changed, Path("run"))


@pytest.mark.usefixtures("tiny")
def test_gradients_of_language_models_are_in_their_own_tokens() -> None:
    world = build(scenario([{**LANGUAGE, "model": family} for family in ("llama", "gpt2")], stack=[LANGUAGE]))
    victim = attackable(
        world.attacked, TARGET, SITUATIONS[:1], access=Access.gradients, objective=ToyObjective()
    )
    found, surfaces = victim.gradients(EDITS[1]), victim.surfaces()
    assert list(found) == list(surfaces) == ["llm", "llm-2"]
    for name, gradient in found.items():
        assert surfaces[name].encode(["a quiet one"]) == [gradient.token_ids]
        assert gradient.gradient.shape[0] == len(gradient.token_ids)
    assert not np.allclose(found["llm"].gradient, found["llm-2"].gradient)
    mean = victim.objective(EDITS)[:, 0]
    alone = [one_of(stack).objective(EDITS, SITUATIONS[:1])[:, 0] for stack in world.attacked]
    assert np.allclose(mean, np.mean(alone, axis=0))

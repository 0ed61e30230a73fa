"""A victim refuses before anything is computed, and never spends more than it may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrievers.bm25 import BM25
from testbed.environment import Environment
from testbed.errors import UserError
from testbed.protocols import Access
from testbed.stack import Node, Stack
from testbed.testing import ToyObjective, ToyRanker, budgets, toy_catalog
from testbed.testing.toy import ToyStage
from testbed.types import Intervention, Situation, Target, TextEdit
from testbed.victim import AccessDenied, BudgetExhausted, StackVictim

CATALOG = toy_catalog()
TARGET = Target("grand", "Description")
SITUATIONS = (Situation("cheap", 0), Situation("cheap", 1), Situation("camp", 0))
EDIT = TARGET.edit("abc")


@dataclass(frozen=True)
class Counting(ToyStage):
    """Counts what it is asked to compute."""

    asked: list[str] = field(default_factory=list)

    def __call__(self, *args: Any) -> Any:
        self.asked.append("rank")
        return super().__call__(*args)

    def losses(self, *args: Any) -> Any:
        self.asked.append("losses")
        return super().losses(*args)

    def gradient(self, *args: Any) -> Any:
        self.asked.append("gradient")
        return super().gradient(*args)


def victim_of(
    access: Access = Access.gradients, limits: Mapping[str, float] | None = None, before: bool = False
) -> tuple[StackVictim, Counting]:
    stage = Counting(ToyRanker(), CATALOG)
    nodes = [Node("last", stage)]
    if before:
        nodes = [Node("first", ToyRanker(k=5).build(CATALOG, Environment())), Node("last", stage, ("first",))]
    stack = Stack(CATALOG, nodes)
    victim = StackVictim(stack, [TARGET], SITUATIONS, access=access, limits=limits, objective=ToyObjective())
    return victim, stage


def ask(
    victim: StackVictim, what: str, interventions: list[Intervention] | None = None, **kwargs: Any
) -> Any:
    interventions = interventions or [EDIT]
    if what == "gradients":
        return victim.gradients(interventions[0], **kwargs)
    if what == "surfaces":
        return victim.surfaces()
    return getattr(victim, what)(interventions, **kwargs)


@pytest.mark.parametrize(
    ("what", "granted", "message"),
    [
        ("ranks", "none", "the attack asked for ranks; the threat model grants none"),
        ("objective", "none", "the attack asked for scores; the threat model grants none"),
        ("objective", "ranks", "the attack asked for scores; the threat model grants ranks"),
        ("gradients", "scores", "the attack asked for gradients; the threat model grants scores"),
        ("surfaces", "scores", "the attack asked for gradients; the threat model grants scores"),
    ],
)
def test_access_is_refused_before_anything_is_computed(what: str, granted: str, message: str) -> None:
    victim, stage = victim_of(Access[granted])
    with pytest.raises(AccessDenied, match=message):
        ask(victim, what)
    assert stage.asked == []
    assert victim.meter.spent()["queries"] == 0


@pytest.mark.parametrize(
    ("what", "granted"),
    [("ranks", "ranks"), ("objective", "scores"), ("gradients", "gradients"), ("ranks", "gradients")],
)
def test_what_is_granted_is_answered(what: str, granted: str) -> None:
    victim, stage = victim_of(Access[granted])
    ask(victim, what)
    assert stage.asked


@pytest.mark.parametrize(
    ("what", "unit", "limit"),
    [
        ("ranks", "queries", 2),
        ("ranks", "tokens", 100),
        ("objective", "queries", 2),
        ("objective", "tokens", 100),
        ("gradients", "queries", 2),
        ("gradients", "gradient_calls", 2),
        ("gradients", "tokens", 100),
        ("ranks", "seconds", 0),
        ("objective", "seconds", 0),
    ],
)
def test_what_would_overdraw_is_refused_before_it_is_computed(what: str, unit: str, limit: float) -> None:
    victim, stage = victim_of(limits={unit: limit})
    with pytest.raises(BudgetExhausted, match=f"the budget of {unit} is spent") as caught:
        ask(victim, what)
    assert caught.value.unit == unit
    assert stage.asked == []
    assert victim.meter.spent()["queries"] == 0
    if unit != "seconds":
        assert victim.remaining == {unit: limit}


def test_a_limit_is_spent_to_the_last_unit() -> None:
    victim, _ = victim_of(limits={"queries": 6})
    ask(victim, "ranks")
    assert victim.remaining == {"queries": 3}
    ask(victim, "objective")
    assert victim.remaining == {"queries": 0}


def test_costs_are_booked() -> None:
    victim, stage = victim_of()
    tokens = 0
    for situation in SITUATIONS:
        (context, slate) = victim._arrive(
            victim._stack.last, victim._calls(Access.ranks, [EDIT], [situation])
        )[0]
        tokens += stage.price(context, slate)
    ask(victim, "ranks")
    ask(victim, "objective")
    ask(victim, "gradients")
    spent = victim.meter.spent()
    assert (spent["queries"], spent["gradient_calls"], spent["tokens"]) == (9, 3, 3 * tokens)


def test_stages_before_the_last_are_paid_for() -> None:
    one, _ = victim_of()
    two, _ = victim_of(before=True)
    for victim in (one, two):
        ask(victim, "objective")
    assert two.meter.usage.tokens > one.meter.usage.tokens * 1.5


def test_strange_situations_and_fields_are_refused() -> None:
    victim, stage = victim_of()
    with pytest.raises(AccessDenied, match="is not one of the situations the attacker may use"):
        ask(victim, "ranks", situations=[Situation("cheap", 7)])
    for edit in (TextEdit("pico", "Description", "x"), TextEdit("grand", "Price", "x")):
        with pytest.raises(AccessDenied, match=f"does not control field '{edit.field}' of '{edit.item_id}'"):
            ask(victim, "objective", [(edit,)])
    with pytest.raises(AccessDenied):
        ask(victim, "gradients", [(*EDIT, TextEdit("pico", "Description", "x"))])
    assert stage.asked == []


def test_no_objective_is_a_clear_error() -> None:
    stack = Stack(CATALOG, [Node("toy", ToyRanker().build(CATALOG, Environment()))])
    victim = StackVictim(stack, [TARGET], SITUATIONS, access=Access.scores)
    with pytest.raises(UserError, match="this attack has no objective"):
        victim.objective([EDIT])


def test_stages_that_cannot_be_scored_say_so() -> None:
    stack = Stack(CATALOG, [Node("plain", lambda context, slate: slate)])
    victim = StackVictim(stack, [TARGET], SITUATIONS, access=Access.gradients, objective=ToyObjective())
    with pytest.raises(UserError, match="stage 'plain' offers no scores; attack it by ranks"):
        victim.objective([EDIT])
    with pytest.raises(UserError, match="stage 'plain' offers no gradients; attack it by ranks"):
        victim.gradients(EDIT)
    assert victim.ranks([EDIT]) == [[3, 3, 3]]


def test_answers_have_one_row_an_intervention_and_one_column_a_situation() -> None:
    victim, _ = victim_of()
    edits = [TARGET.edit(text) for text in ("a", "b")]
    assert np.shape(victim.ranks(edits)) == (2, 3)
    assert victim.objective(edits).shape == (2, 3)
    assert victim.objective(edits, SITUATIONS[1:2]).shape == (2, 1)
    assert victim.ranks([]) == []
    whole = victim.objective(edits)
    parts = [victim.objective([edit], [situation])[0, 0] for edit in edits for situation in SITUATIONS]
    assert whole.ravel().tolist() == pytest.approx(parts)


def test_gradients_are_the_mean_over_situations() -> None:
    victim, _ = victim_of()
    (mean,) = victim.gradients(EDIT).values()
    alone = [next(iter(victim.gradients(EDIT, [situation]).values())) for situation in SITUATIONS]
    assert np.allclose(mean.gradient, np.mean([part.gradient.numpy() for part in alone], axis=0), atol=1e-6)
    assert mean.loss == pytest.approx(victim.objective([EDIT]).mean())


def test_a_dropped_target_has_no_gradient_and_an_infinite_objective() -> None:
    stage = ToyRanker().build(CATALOG, Environment())
    nodes = [
        Node("first", lambda context, slate: type(slate)(tuple(slate)[:1])),
        Node("last", stage, ("first",)),
    ]
    stack = Stack(CATALOG, nodes)
    victim = StackVictim(stack, [TARGET], SITUATIONS, access=Access.gradients, objective=ToyObjective())
    assert victim.gradients(EDIT) == {}
    assert np.isinf(victim.objective([EDIT])).all()
    assert victim.ranks([EDIT]) == [[None, None, None]]


CALLS = st.lists(
    st.tuples(
        st.sampled_from(["ranks", "objective", "screen", "gradients", "surfaces"]),
        st.lists(st.text("ab c", min_size=1, max_size=5), min_size=1, max_size=4),
        st.lists(st.sampled_from(SITUATIONS), min_size=1, max_size=3, unique=True),
    ),
    max_size=12,
)


@given(budgets(most=30), st.sampled_from(list(Access)), CALLS, st.booleans())
def test_no_sequence_of_calls_exceeds_a_budget(
    limits: dict[str, float], access: Access, calls: list[Any], before: bool
) -> None:
    victim, _ = victim_of(access, limits, before)
    for what, texts, situations in calls:
        edits = [TARGET.edit(text) for text in texts]
        try:
            match what:
                case "surfaces":
                    victim.surfaces()
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
        assert all(left >= 0 for left in victim.remaining.values())


def test_a_stage_with_scores_and_no_gradients_names_both_ways() -> None:
    nodes = [Node("bm25", BM25().build(CATALOG, Environment()))]
    victim = StackVictim(
        Stack(CATALOG, nodes), [TARGET], SITUATIONS, access=Access.gradients, objective=ToyObjective()
    )
    with pytest.raises(UserError, match="stage 'bm25' offers no gradients; attack it by scores or ranks"):
        victim.gradients(EDIT)

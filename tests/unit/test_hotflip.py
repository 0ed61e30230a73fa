"""HotFlip: which flips it proposes, by hand; that it climbs where there is a slope, and further than random text."""

from __future__ import annotations

import string
from typing import Any

import numpy as np
import pytest
import torch

from attacks.hotflip import HotFlip, ranked
from attacks.objectives import Margin
from retrievers.dense import Dense
from testbed.protocols import Access, AttackPlugin, Step, TokenGradient
from testbed.stack import Node, Stack
from testbed.testing import ToyEnvironment, ToyObjective, toy_catalog, toy_stack
from testbed.types import Situation, Target
from testbed.victim import BudgetExhausted, StackVictim

TARGET = Target("grand", "Description")
SITUATIONS = (Situation("cheap", 0, 5), Situation("camp", 1, 3))


def victim_of(stack: Stack | None = None, objective: Any = None, **limits: float) -> StackVictim:
    return StackVictim(
        stack or toy_stack(),
        [TARGET],
        SITUATIONS,
        access=Access.gradients,
        limits=limits,
        objective=objective or ToyObjective(),
    )


def steps_of(plugin: AttackPlugin, victim: Any, seed: int = 0) -> list[Step]:
    found: list[Step] = []
    moves = iter(plugin([TARGET], victim, np.random.default_rng(seed)))
    try:
        while len(found) < 400:
            found.append(next(moves))
    except (BudgetExhausted, StopIteration):
        pass
    return found


def test_flips_are_ranked_by_how_much_they_change_the_loss() -> None:
    """Against the token that stands there, not by the gradient itself; forbidden tokens and losses are left out."""
    gradient = TokenGradient((0, 2), torch.tensor([[1.0, -1.0, 0.5, -9.0], [-3.0, 0.0, -4.0, 1.0]]), 0.0)
    mask = np.array([False, False, False, True])
    assert ranked(gradient, mask, None) == [(0, 1), (0, 2)]
    assert ranked(gradient, np.zeros(4, dtype=bool), None) == [(0, 3), (0, 1), (0, 2)]
    assert ranked(gradient, mask, 1) == []
    assert ranked(gradient, mask, None, most=1) == [(0, 1)]


@pytest.mark.parametrize("position", ["best", "random"])
def test_it_beats_random_text_for_the_same_queries(position: Any) -> None:
    plugin = HotFlip(tokens=12, width=8, position=position)
    found = [
        min(s.objective or 0.0 for s in steps_of(plugin, victim_of(queries=200), seed)) for seed in (0, 1)
    ]
    letters = list(string.ascii_letters + string.digits + string.punctuation)
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(letters, size=12)) for _ in range(2 * 200 // len(SITUATIONS))]
    chance = victim_of().objective([TARGET.edit(text) for text in texts]).mean(1)
    assert np.mean(found) < chance.min() - 0.5


def test_it_never_gets_worse_and_ends_where_nothing_helps() -> None:
    plugin = HotFlip(tokens=2, width=4, patience=2, position="best")
    victim = victim_of()
    values = [step.objective or 0.0 for step in steps_of(plugin, victim)]
    assert values == sorted(values, reverse=True)
    assert 3 < len(values) < 400
    assert values[-1] == values[-2] < values[0]
    assert victim.meter.usage.queries <= len(values) * plugin.queries_per_step(len(SITUATIONS)) + 2


def test_no_text_is_scored_twice() -> None:
    class Noting(StackVictim):
        def objective(self, interventions: Any, situations: Any = None) -> np.ndarray:
            texts.extend(one[0].text for one in interventions)
            return super().objective(interventions, situations)

    texts: list[str] = []
    victim = Noting(toy_stack(), [TARGET], SITUATIONS, access=Access.gradients, objective=ToyObjective())
    steps_of(HotFlip(tokens=3, width=6, patience=3), victim)
    assert len(texts) > 15
    assert len(texts) == len(set(texts))


def test_it_climbs_on_a_dense_retriever() -> None:
    catalog = toy_catalog()
    stack = Stack(catalog, [Node("dense", Dense(k=6).build(catalog, ToyEnvironment()))])
    victim = victim_of(stack, Margin(sharpness=20), queries=120)
    steps = steps_of(HotFlip(tokens=3, width=6, initial="steel"), victim)
    assert (steps[-1].objective or 0) < (steps[0].objective or 0) - 0.02

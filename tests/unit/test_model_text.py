"""Searches over a model's own text: rejection sampling draws from what it says, the tree grows where it pays."""

from __future__ import annotations

import string
from collections import Counter
from typing import Any

import numpy as np
import pytest

from attacks.rejection import Rejection, accepted
from attacks.tree_search import Node, TreeSearch
from testbed.errors import UserError
from testbed.protocols import Access, AttackPlugin, Step
from testbed.testing import ToyObjective, toy_stack
from testbed.types import Situation, Target
from testbed.victim import BudgetExhausted, StackVictim

TARGET = Target("grand", "Description")
SITUATIONS = (Situation("cheap", 0, 5), Situation("camp", 1, 3))


def victim_of(**limits: float) -> StackVictim:
    return StackVictim(
        toy_stack(), [TARGET], SITUATIONS, access=Access.scores, limits=limits, objective=ToyObjective()
    )


def steps_of(plugin: AttackPlugin, victim: Any, seed: int = 0, most: int = 500) -> list[Step]:
    found: list[Step] = []
    moves = iter(plugin([TARGET], victim, np.random.default_rng(seed)))
    try:
        while len(found) < most:
            found.append(next(moves))
    except (BudgetExhausted, StopIteration):
        pass
    return found


def losses_of(*steps: Step) -> np.ndarray:
    """Exact mean losses of what steps write."""
    found: np.ndarray = victim_of().objective([step.intervention for step in steps]).mean(1)
    return found


def random_texts(count: int, length: int, seed: int) -> np.ndarray:
    """Losses of random texts."""
    rng, letters = (
        np.random.default_rng(seed),
        list(string.ascii_letters + string.digits + string.punctuation),
    )
    texts = ["".join(rng.choice(letters, size=length)) for _ in range(count)]
    return losses_of(*(Step(TARGET.edit(text)) for text in texts))


def test_accepted_samples_have_the_tilted_distribution() -> None:
    """p = (.6, .3, .1), r = (0, 1, 2), beta = 1: p · e^r = .6, .8155, .7389. Duplicates are samples of their own."""
    rng = np.random.default_rng(0)
    samples = rng.choice(3, size=20_000, p=[0.6, 0.3, 0.1])
    kept = accepted([float(one) for one in samples], rng.random(len(samples)).tolist(), 1.0)
    shares = np.bincount(samples[kept], minlength=3) / len(kept)
    wanted = np.array([0.6, 0.3 * np.e, 0.1 * np.e**2])
    assert shares == pytest.approx(wanted / wanted.sum(), abs=0.015)


def test_the_best_sample_is_always_accepted_and_a_better_one_only_takes_away() -> None:
    uniform = [0.99, 0.5, 0.999]
    assert accepted([1.0, 0.9], uniform[:2], 0.2) == [0, 1]
    assert accepted([1.0, 0.9, 3.0], uniform, 0.2) == [2]
    assert accepted([1.0, 0.9], uniform[:2], 0.01) == [0]
    assert accepted([1.0, 0.9], uniform[:2], 1e9) == [0, 1]


def test_two_samples_of_one_text_are_two() -> None:
    """At temperature 0 all samples are one text; every one is counted, scored and kept."""
    plugin = Rejection(tokens=2, width=3, temperature=0, rounds=2)
    victim = victim_of()
    first, *steps = steps_of(plugin, victim)
    assert first.intervention == ()
    assert len(steps) == 2
    assert len({step.intervention for step in steps}) == 1
    assert victim.meter.usage.queries == 2 + 2 * 3 * (2 + 2)


def test_a_small_beta_draws_better_texts_than_chance() -> None:
    rounds = {"tokens": 6, "width": 8, "rounds": 3}
    tilted, plain = (
        [losses_of(steps_of(Rejection(**rounds, beta=beta), victim_of(), seed)[-1])[0] for seed in range(3)]
        for beta in (0.05, 1e9)
    )
    assert np.mean(tilted) < np.mean(plain) - 0.5
    assert np.mean(tilted) < random_texts(50, 10, seed=0).mean() - 0.5


def test_the_best_of_n() -> None:
    plugin = Rejection(tokens=4, width=4, rounds=3, keep="best")
    objectives = [step.objective or 0.0 for step in steps_of(plugin, victim_of())]
    assert objectives[1:] == sorted(objectives[1:], reverse=True)
    last = steps_of(plugin, victim_of())[-1]
    assert losses_of(last)[0] == pytest.approx(last.objective)


@pytest.mark.parametrize("choose", ["uct", "best_first"])
def test_a_tree_beats_random_text_for_the_same_queries(choose: Any) -> None:
    plugin = TreeSearch(tokens=20, stride=3, choose=choose, explore=0.1)
    found = [
        min(s.objective or 0.0 for s in steps_of(plugin, victim_of(queries=200), seed)) for seed in range(2)
    ]
    chance = [random_texts(200 // len(SITUATIONS), 20, seed).min() for seed in range(2)]
    assert np.mean(found) < np.mean(chance) - 0.3


@pytest.mark.parametrize(
    "plugin", [TreeSearch(tokens=9), TreeSearch(tokens=5, branch=2, choose="best_first")]
)
def test_steps_carry_the_exact_objective_and_texts_stay_short(plugin: TreeSearch) -> None:
    steps = steps_of(plugin, victim_of(), most=8)
    assert [step.objective for step in steps] == pytest.approx(losses_of(*steps).tolist())
    texts = [edit.text for step in steps for edit in step.intervention if hasattr(edit, "text")]
    (surface,) = StackVictim(toy_stack(), [TARGET], SITUATIONS, access=Access.gradients).surfaces().values()
    assert all(ids is not None and len(ids) <= plugin.tokens for ids in surface.encode(texts))


def test_a_tree_that_is_full_ends() -> None:
    """Two children of two tokens each, then two of one: nothing is left to grow."""
    steps = steps_of(TreeSearch(tokens=3, branch=2, stride=2), victim_of())
    assert 3 <= len(steps) <= 4
    victim = victim_of()
    steps_of(TreeSearch(tokens=1, branch=3, stride=1), victim)
    assert victim.meter.usage.queries == 2 + 1 + 3 * 2


def test_uct_goes_where_it_is_best_and_sometimes_where_it_has_not_been() -> None:
    root = Node("", 5.0)
    good, bad = (Node(text, loss, root) for text, loss in (("good", 1.0), ("bad", 4.0)))
    root.children = [good, bad]
    for node in (root, good, bad):
        node.note(node.loss)
    greedy, curious = TreeSearch(explore=0), TreeSearch(explore=5)
    assert greedy._leaf(root) is good
    good.children = [Node("worse", 2.0, good)]
    for _ in range(20):
        good.children[0].note(2.0)
    assert greedy._leaf(root) is good.children[0]
    assert curious._leaf(root) is bad
    good.children[0].open = False
    good.settle()
    assert greedy._leaf(root) is bad
    assert Counter(node.open for node in root.below()) == {True: 2, False: 2}


def test_a_stage_that_writes_nothing_says_so() -> None:
    from retrievers.bm25 import BM25
    from testbed.stack import Node as StackNode
    from testbed.stack import Stack
    from testbed.testing import ToyEnvironment, toy_catalog

    catalog = toy_catalog()
    stack = Stack(catalog, [StackNode("bm25", BM25().build(catalog, ToyEnvironment()))])
    victim = StackVictim(stack, [TARGET], SITUATIONS, access=Access.scores, objective=ToyObjective())
    with pytest.raises(UserError, match="'bm25' proposes no text of its own; attack it by hill_climb"):
        steps_of(TreeSearch(), victim)

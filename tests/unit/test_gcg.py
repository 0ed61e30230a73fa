"""Greedy coordinate gradient: steps are what brute force over the candidates says, and the loss falls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
import torch

from attacks.candidates import forbidden, promising, propose
from attacks.gcg import GCG, annealed, kept, start
from attacks.objectives import FirstItem, Margin
from attacks.random_search import RandomSearch
from attacks.scored import Scored
from retrievers.llm import LanguageModelRecommender
from testbed.protocols import Access, AttackPlugin, Scores, Step, Surface
from testbed.stack import Node, Stack
from testbed.testing import ToyEnvironment, ToyObjective, toy_catalog, toy_stack
from testbed.types import Intervention, Situation, Target
from testbed.victim import StackVictim, attackable

TARGET = Target("grand", "Description")
SITUATIONS = (Situation("cheap", 0, 5), Situation("camp", 1, 3))


class Noting(StackVictim):
    """Keeps what was scored exactly on all situations."""

    def objective(self, interventions: Sequence[Intervention], situations: Any = None) -> np.ndarray:
        losses = super().objective(interventions, situations)
        if situations is None:
            self.scored = [
                (edit[0].text, loss) for edit, loss in zip(interventions, losses.mean(axis=1), strict=True)
            ]
        return losses


def victim_of(stack: Stack | None = None, cls: type[StackVictim] = Noting) -> Any:
    return cls(
        stack or toy_stack(),
        [TARGET],
        SITUATIONS,
        access=Access.gradients,
        limits=None,
        objective=ToyObjective(),
    )


def steps_of(plugin: AttackPlugin, victim: Any, count: int, seed: int = 0) -> list[Step]:
    moves = iter(plugin([TARGET], victim, np.random.default_rng(seed)))
    return [step for step, _ in zip(moves, range(count), strict=False)]


def text_of(step: Step) -> str:
    return step.intervention[0].text


def test_a_step_is_the_best_of_all_its_candidates() -> None:
    """With as many finalists as candidates every candidate is scored exactly: the step must be their minimum."""
    victim = victim_of()
    moves = iter(
        GCG(tokens=6, width=20, top_k=12, finalists=20, halving=False)(
            [TARGET], victim, np.random.default_rng(3)
        )
    )
    before = text_of(next(moves))
    for _ in range(4):
        step = next(moves)
        brute = {text: StackVictim.objective(victim, [TARGET.edit(text)]).mean() for text, _ in victim.scored}
        assert len(brute) > 10
        assert text_of(step) == min(brute, key=lambda text: brute[text])
        assert step.objective == pytest.approx(min(brute.values()))
        old, new = surface().encode([before, text_of(step)])
        assert old is not None
        assert new is not None
        assert sum(one != two for one, two in zip(old, new, strict=True)) == 1
        before = text_of(step)


def surface(stack: Stack | None = None) -> Any:
    return next(iter(victim_of(stack).surfaces().values()))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"screening": "exact"},
        {"merge": False},
        {"swaps": 3, "anneal": 4},
        {"rescored": 0, "halving": False},
        {"buffer": 3},
    ],
)
def test_the_loss_falls_on_the_toy(options: dict[str, Any]) -> None:
    steps = steps_of(GCG(tokens=8, width=24, top_k=16, **options), victim_of(), 12)
    values = [step.objective or 0.0 for step in steps]
    assert min(values) < values[0] - 0.3


def language_model_stack() -> Stack:
    catalog = toy_catalog()
    plugin = LanguageModelRecommender(system="Rank.", opening="Best:\n1.")
    return Stack(catalog, [Node("llm", plugin.build(catalog, ToyEnvironment()))])


def test_the_loss_falls_on_a_language_model() -> None:
    victim = victim_of(language_model_stack())
    steps = steps_of(GCG(tokens=5, width=24, top_k=32), victim, 12)
    values = [step.objective or 0.0 for step in steps]
    assert min(values) < values[0] - 0.1
    for step in steps:
        assert step.objective == pytest.approx(
            StackVictim.objective(victim, [step.intervention]).mean(), abs=1e-4
        )


def test_gradient_swaps_beat_random_ones() -> None:
    """At the same number of exactly scored candidates, the gradient's are better on average."""
    victim = victim_of()
    text = start(surface(), "*", 8)
    ((_, gradient),) = victim.gradients(TARGET.edit(text)).items()
    mask = forbidden(surface().pieces, ascii_only=True)
    best = promising(gradient.gradient, mask, 8)
    anything = promising(
        torch.rand(gradient.gradient.shape, generator=torch.Generator().manual_seed(0)), mask, 8
    )
    means = []
    for choices in (best, anything):
        found = propose(gradient.token_ids, choices, 40, surface(), np.random.default_rng(0))
        means.append(victim.objective([TARGET.edit(one.text) for one in found]).mean())
    assert means[0] < means[1]


def test_forbidden_tokens() -> None:
    pieces = ["", " ", "a", "é", "\u202e", "\x07", "\ufffd", " Best", "bestial"]
    allowed = [
        piece
        for piece, no in zip(pieces, forbidden(pieces, ascii_only=True, banned=["BEST"]), strict=True)
        if not no
    ]
    assert allowed == ["a"]
    assert "é" in [
        piece for piece, no in zip(pieces, forbidden(pieces, ascii_only=False), strict=True) if not no
    ]


def test_promising_are_the_most_negative_allowed() -> None:
    gradient = torch.tensor([[3.0, -5.0, 1.0, -1.0]])
    mask = np.array([False, True, False, False])
    assert promising(gradient, mask, 2).tolist() == [[3, 2]]
    assert promising(gradient, mask, 9).tolist() == [[3, 2, 0]]


def test_proposals_are_different_texts_that_survive() -> None:
    base = surface().encode(["acdefg"])[0]
    choices = torch.arange(2, 42).repeat(6, 1)
    found = propose(base, choices, 30, surface(), np.random.default_rng(0), swaps=2, reject=["b"])
    texts = [one.text for one in found]
    assert len(texts) == len(set(texts)) > 20
    assert "acdefg" not in texts
    assert not any("b" in text for text in texts)
    for one in found:
        assert surface().encode([one.text]) == [one.token_ids]
        assert 1 <= sum(old != new for old, new in zip(base, one.token_ids, strict=True)) <= 2


def test_nothing_left_to_propose() -> None:
    base = surface().encode(["a"])[0]
    assert propose(base, torch.tensor([[base[0]]]), 5, surface(), np.random.default_rng(0)) == []


@pytest.mark.parametrize(
    ("initial", "tokens", "text"), [("*", 4, "* * * *"), ("ab", 2, "ab"), ("ab", 4, "ab ab")]
)
def test_where_it_starts(initial: str, tokens: int, text: str) -> None:
    assert start(surface(), initial, tokens) == text


def test_a_start_that_cannot_be() -> None:
    class Closed:
        def encode(self, texts: list[str]) -> list[None]:
            return [None for _ in texts]

    with pytest.raises(ValueError, match="no text of 3 tokens survives in this field"):
        start(cast("Surface", Closed()), "*", 3)


def test_a_start_that_does_not_survive_is_replaced() -> None:
    assert start(surface(), "é", 3) == "x x x"


def test_the_buffer_keeps_the_best() -> None:
    one, two, three = (
        Scored(name, np.array([mean]), mean) for name, mean in (("a", 3.0), ("b", 1.0), ("c", 2.0))
    )
    assert kept(three, [two], 0) == [three]
    assert kept(three, [two], 1) == [two]
    assert kept(two, [three, one], 2) == [two, three]
    assert kept(two, [two, one], 3) == [two, one]


def test_with_a_buffer_the_loss_never_rises() -> None:
    values = [step.objective or 0.0 for step in steps_of(GCG(tokens=6, width=4, buffer=1), victim_of(), 12)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0]


def test_models_take_turns_and_texts_survive_in_all() -> None:
    """Two models with different tokenizers: each step's text is as scored on both, and both move the search."""
    stacks = [toy_stack(), language_model_stack()]
    target = Target("grand", "Description")
    victim = attackable(stacks, target, SITUATIONS, access=Access.gradients, objective=ToyObjective())
    asked: list[Any] = []
    gradients = victim.gradients

    def noting(*args: Any, **options: Any) -> Any:
        asked.append(options["stages"])
        return gradients(*args, **options)

    victim.gradients = noting  # type: ignore[method-assign, assignment]
    steps = steps_of(GCG(tokens=6, width=16, top_k=24), victim, 7)
    assert [stage for stages in asked for stage in stages][:4] == ["toy", "llm", "toy", "llm"]
    values = [step.objective or 0.0 for step in steps]
    assert min(values) < values[0] - 0.1
    for step in steps:
        assert step.objective == pytest.approx(float(victim.objective([step.intervention]).mean()), abs=1e-4)
        for surface in victim.surfaces().values():
            assert surface.encode([text_of(step)]) != [None]


def test_swaps_are_annealed() -> None:
    assert [annealed(5, 4, step) for step in range(1, 8)] == [5, 4, 3, 2, 1, 1, 1]
    assert annealed(1, 10, 3) == 1


def test_objectives_by_hand() -> None:
    scores = Scores(torch.tensor([[-4.0, -2.0, -3.0]]), torch.tensor([2.0, 1.0, 1.0]), 0)
    assert FirstItem()(scores).tolist() == [2.0]
    assert Margin(sharpness=50)(scores).item() == pytest.approx(2.0, abs=1e-3)
    assert Margin()(scores).item() == pytest.approx(float(np.log(np.exp(-4) + np.exp(-6)) / 2 + 4), abs=1e-5)
    alone = Scores(torch.tensor([[-4.0]]), torch.tensor([2.0]), 0)
    assert Margin()(alone).tolist() == [4.0]


def test_random_search_never_gets_worse() -> None:
    for signal in ("ranks", "scores"):
        steps = steps_of(RandomSearch(length=5, width=6, signal=signal), victim_of(cls=StackVictim), 10)
        values = [step.objective or 0.0 for step in steps]
        assert values == sorted(values, reverse=True)
        assert values[-1] < values[0]

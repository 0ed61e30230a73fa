"""Several stages under one attack: gradients of each, what a loss says of where a text fails, the joint search."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from attacks.joint import Joint
from retrievers.bm25 import BM25
from retrievers.dense import Dense
from retrievers.fuse import Fuse
from testbed.protocols import Access
from testbed.stack import Node, Stack
from testbed.testing import ToyEnvironment, ToyObjective, check_attack, toy_catalog
from testbed.testing.texts import WORDS
from testbed.testing.toy import ToyRanker
from testbed.types import Situation, Target
from testbed.victim import AccessDenied, BudgetExhausted, StackVictim
from testbed.victim.slope import BEST, WORST, abreast, standing

TARGET = Target("grand", "Description")
SITUATIONS = tuple(Situation(request, 0) for request in ("cheap", "quiet", "two", "gift"))
SEEN = ("bm25", "dense")


def stack() -> Stack:
    """Two retrievers side by side, fused to three, then a ranker."""
    catalog, env = toy_catalog(), ToyEnvironment()
    return Stack(
        catalog,
        [
            Node("bm25", BM25(k=6).build(catalog, env)),
            Node("dense", Dense(k=6).build(catalog, env)),
            Node("fuse", Fuse(keep=3).build(catalog, env), ("bm25", "dense")),
            Node("toy", ToyRanker().build(catalog, env), ("fuse",)),
        ],
    )


def victim(access: Access = Access.gradients, seen: tuple[str, ...] = SEEN, **limits: float) -> StackVictim:
    return StackVictim(
        stack(), [TARGET], SITUATIONS, access=access, limits=limits, objective=ToyObjective(), seen=seen
    )


def test_stages_side_by_side_are_told_together() -> None:
    whole = stack()
    assert victim().stages == (("bm25", "dense"), ("toy",))
    nodes = [whole.node(name) for name in ("bm25", "dense", "fuse")]
    assert [[node.name for node in group] for group in abreast(nodes, whole.ancestors)] == [
        ["bm25", "dense"],
        ["fuse"],
    ]


def test_a_loss_says_where_a_text_stands() -> None:
    losses = np.array([3.0, BEST, BEST + 249, BEST + 251, WORST, np.inf])
    assert standing(losses, 2).tolist() == [2, 1, 1, 0, 0, -1]
    assert standing(losses, 1).tolist() == [1, 0, 0, 0, 0, -1]


def test_the_slope_of_two_retrievers_counts_places() -> None:
    hunter = victim()
    (clean, stuffed, both) = hunter.objective(
        [
            (),
            TARGET.edit("cheap quiet"),
            TARGET.edit("I want a cheap machine that is quiet in the morning for two people"),
        ]
    )
    dropped = clean >= BEST
    assert dropped.any()
    assert (clean[dropped] <= WORST).all()
    assert stuffed[dropped].mean() < clean[dropped].mean()
    assert both[dropped].mean() < clean[dropped].mean()


def test_every_stage_shows_its_own_gradient() -> None:
    hunter = victim()
    assert set(hunter.surfaces()) == {"toy", "dense"}
    reached = [
        place for place in SITUATIONS if np.isfinite(hunter.objective([TARGET.edit("cheap")], [place])).all()
    ]
    found = hunter.gradients(TARGET.edit("cheap"), reached[:1])
    for name, gradient in found.items():
        assert gradient.gradient.shape[1] == len(hunter.surfaces()[name].pieces)
    before = hunter.meter.usage.gradient_calls
    assert list(hunter.gradients(TARGET.edit("cheap"), SITUATIONS[:1], stages=["dense"])) == ["dense"]
    assert hunter.meter.usage.gradient_calls == before + 1
    with pytest.raises(AccessDenied):
        victim(Access.scores).surfaces()


def played(plugin: Any, hunter: StackVictim, steps: int = 12) -> list[float]:
    moves, found = iter(plugin([TARGET], hunter, np.random.default_rng(0))), list[float]()
    try:
        while len(found) < steps:
            found.append(next(moves).objective)
    except BudgetExhausted:
        pass
    return found


@pytest.mark.parametrize("signal", ["gradients", "scores"])
def test_a_joint_search_gets_past_retrieval(signal: Literal["gradients", "scores"]) -> None:
    plugin = Joint(signal=signal, tokens=4, words=10, width=12, finalists=4)
    hunter = victim(Access[signal])
    found = played(plugin, hunter)
    assert found == sorted(found, reverse=True)
    assert found[0] > BEST / len(SITUATIONS) > found[-1]
    texts = np.random.default_rng(1).choice([word for word in WORDS if word != "cheap"], (30, 10))
    by_chance = victim(Access.scores).objective([TARGET.edit(" ".join(words)) for words in texts])
    assert found[-1] < np.minimum(by_chance, WORST).mean()


def test_the_attack_keeps_its_promises() -> None:
    check_attack(Joint(tokens=3, width=4, finalists=2, words=8))
    check_attack(Joint(signal="scores", width=4, finalists=2, words=8))

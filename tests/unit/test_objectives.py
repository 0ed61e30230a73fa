"""Objectives by hand, and what each may never do: reward a target that scores worse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attacks.objectives import Eisl, ExpectedRank, FirstItem, Margin, TextObjective
from testbed.errors import UserError
from testbed.protocols import Access, Scores
from testbed.testing import toy_stack
from testbed.types import Situation, Target
from testbed.victim import StackVictim

TARGET = Target("grand", "Description")
ALL = [FirstItem(), Margin(), ExpectedRank(), Eisl(), Eisl(position_weight=0)]
numbers = st.floats(-60, 0)


def scores(
    total: list[float], target: int = 0, entries: list[float] | None = None, fluency: float | None = None
) -> Scores:
    """One row of scores in float64; names have 2, 3, 4, ... tokens."""
    return Scores(
        torch.tensor([total], dtype=torch.float64),
        torch.arange(len(total)) + 2.0,
        target,
        None if fluency is None else torch.tensor([fluency], dtype=torch.float64),
        None if entries is None else torch.tensor([entries], dtype=torch.float64),
    )


def test_expected_rank_by_hand() -> None:
    level = scores([-4.0, -4.0, -4.0])
    assert ExpectedRank()(level).tolist() == [2.0]  # each of two rivals is ahead half of the time
    apart = scores([-4.0, -2.0, -5.0])
    wanted = 1 + 1 / (1 + np.exp(-2 / 0.5)) + 1 / (1 + np.exp(1 / 0.5))
    assert ExpectedRank(temperature=0.5)(apart).item() == pytest.approx(wanted)
    assert ExpectedRank(temperature=0.01)(apart).item() == pytest.approx(2.0)
    assert ExpectedRank(temperature=0.01)(scores([-4.0, -2.0, -5.0], target=2)).item() == pytest.approx(3.0)
    assert ExpectedRank()(scores([-4.0])).tolist() == [1.0]


def test_eisl_by_hand() -> None:
    found = scores([-3.0], entries=[-3.0, -1.0, -2.0])
    weighted = np.exp(-3) + np.exp(-1) / 4 + np.exp(-2) / 9
    assert Eisl(position_weight=2)(found).item() == pytest.approx(-np.log(weighted) / 2)
    even = np.exp(-3) + np.exp(-1) + np.exp(-2)
    assert Eisl(position_weight=0)(found).item() == pytest.approx(-np.log(even) / 2)


def test_eisl_with_one_entry_is_first_item() -> None:
    found = scores([-3.0, -1.0], entries=[-3.0])
    assert Eisl(entries=1)(found).item() == pytest.approx(FirstItem()(found).item())


def test_without_position_weight_the_last_entry_counts_like_the_first() -> None:
    first, last = scores([-1.0], entries=[-1.0, -9.0, -9.0]), scores([-9.0], entries=[-9.0, -9.0, -1.0])
    flat, steep = Eisl(position_weight=0), Eisl(position_weight=1)
    assert flat(first).item() == pytest.approx(flat(last).item())
    assert steep(first).item() < steep(last).item() - 0.4


@pytest.mark.parametrize("objective", ALL, ids=repr)
def test_fluency_is_added_with_its_weight(objective: TextObjective) -> None:
    found = scores([-3.0, -2.0], entries=[-3.0, -4.0, -5.0], fluency=4.5)
    weighted = objective.model_copy(update={"fluency": 0.2})
    assert not objective.fluent
    assert weighted.fluent
    assert weighted(found).item() == pytest.approx(objective(found).item() + 0.9)


def test_what_an_objective_asks_for() -> None:
    assert [one.rivals for one in ALL] == [False, True, True, False, False]
    assert [one.listed for one in ALL] == [0, 0, 0, 3, 3]
    assert Eisl(entries=7).listed == 7


def test_a_stage_that_does_not_tell() -> None:
    with pytest.raises(UserError, match="does not tell how likely a text is; leave fluency at 0"):
        FirstItem(fluency=1)(scores([-1.0]))
    with pytest.raises(UserError, match="scores no entries after the first; use first_item instead of eisl"):
        Eisl()(scores([-1.0]))


@given(st.lists(numbers, min_size=1, max_size=6), st.lists(numbers, min_size=1, max_size=5), st.data())
def test_a_better_target_never_costs_more(total: list[float], entries: list[float], data: Any) -> None:
    place = data.draw(st.integers(0, len(total) - 1))
    entry = data.draw(st.integers(0, len(entries) - 1))
    better, later = list(total), list(entries)
    better[place] += data.draw(st.floats(0, 20))
    later[entry] += data.draw(st.floats(0, 20))
    for objective in ALL:
        before = objective(scores(total, place, entries)).item()
        assert objective(scores(better, place, later)).item() <= before + 1e-9


@given(st.lists(numbers, min_size=1, max_size=6), st.data())
def test_a_better_rival_never_costs_less(total: list[float], data: Any) -> None:
    place = data.draw(st.integers(0, len(total) - 1))
    other = data.draw(st.integers(0, len(total) - 1))
    worse = list(total)
    worse[other] += data.draw(st.floats(0, 20)) if other != place else 0
    for objective in (Margin(), ExpectedRank()):
        before = objective(scores(total, place)).item()
        assert objective(scores(worse, place)).item() >= before - 1e-9
    rank = ExpectedRank()(scores(total, place)).item()
    assert 1 <= rank <= len(total)


@given(st.lists(st.floats(-400, 0), min_size=1, max_size=6), st.data())
def test_gradients_are_finite(total: list[float], data: Any) -> None:
    place = data.draw(st.integers(0, len(total) - 1))
    for objective in [*ALL, Eisl(fluency=1)]:
        leaf = torch.tensor([total], requires_grad=True)
        entries = torch.stack([leaf[:, place], leaf[:, place] - 300], 1)
        found = Scores(leaf, torch.ones(len(total)), place, leaf.sum(1), entries)
        (slope,) = torch.autograd.grad(objective(found).sum(), leaf)
        assert slope.isfinite().all()
        assert slope[0, place] <= 0 or objective.fluent


@pytest.mark.parametrize("objective", [*ALL, FirstItem(fluency=0.5), Eisl(entries=9, fluency=1)], ids=repr)
def test_gradients_on_the_toy_are_those_of_finite_differences(objective: TextObjective) -> None:
    """The stage's gradient of every objective points where single characters lead, to first order."""
    stack = toy_stack()
    place = Situation("cheap", 0, 5)
    victim = StackVictim(stack, [TARGET], [place], access=Access.gradients, objective=objective)
    ((_, found),) = victim.gradients(TARGET.edit("abcdef")).items()
    assert found.loss == pytest.approx(victim.objective([TARGET.edit("abcdef")])[0, 0])
    ((_, surface),) = victim.surfaces().items()
    texts = [
        "xbcdef",
        "aycdef",
        "abcdzf",
        "abQdef",
        "abc#ef",
        "1bcdef",
        "abcde7",
        "a5cdef",
        "abMdef",
        "abcKef",
    ]
    tokens = surface.encode(texts)
    guessed = [
        sum(
            float(found.gradient[spot, new] - found.gradient[spot, old])
            for spot, (old, new) in enumerate(zip(found.token_ids, ids or (), strict=True))
        )
        for ids in tokens
    ]
    real = victim.objective([TARGET.edit(text) for text in texts])[:, 0] - found.loss
    assert np.corrcoef(guessed, real)[0, 1] > 0.6

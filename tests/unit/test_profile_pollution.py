"""Profile pollution: which items are chosen, where they go, what a search finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from attacks.neighbours import popular, preceding, similar
from attacks.profile_pollution import ProfilePollution
from testbed.catalog import Catalog
from testbed.protocols import Access, Context, Scores
from testbed.stack import Node, Stack
from testbed.types import HistoryEdit, Item, Listing, Request, Situation, Slate, Target, Usage
from testbed.victim import BudgetExhausted, StackVictim

HISTORIES = (("a", "t", "b"), ("a", "t", "c"), ("b", "a", "b", "t"), ("c",))
TEXTS = {
    "a": "red wool coat",
    "b": "steel kettle for tea",
    "c": "a wool blanket",
    "d": "copper kettle",
    "t": "steel tea kettle",
}
TARGET = Target("t", "Text")


class Copies:
    """Ranks items by how often they stand in the history; each counts half as much for the item after it."""

    def scores(self, context: Context, slate: Slate) -> dict[str, float]:
        found = dict.fromkeys(slate.ids, 0.0)
        for item in context.request.history:
            found[item] += 1
            after = chr(ord(item) + 1)
            if after in found:
                found[after] += 0.5
            if item == "d":  # what nobody would guess: d makes the target the best
                found["t"] += 2
        return found

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        found = self.scores(context, inputs[0])
        order = sorted(found, key=lambda item: (-found[item], item))
        return Slate(tuple(Listing(item, {}, found[item]) for item in order))

    def losses(self, probe: Any, objective: Any) -> tuple[np.ndarray, Usage]:
        import torch

        rows = []
        for slate in probe.slates:
            found = self.scores(probe.context, slate)
            total = torch.tensor([list(found.values())])
            rows.append(float(objective(Scores(total, torch.ones(len(found)), list(found).index("t")))[0]))
        return np.array(rows), Usage()


def victim_of(history: int = 9, access: Access = Access.scores, **limits: float) -> StackVictim:
    catalog = Catalog.of(
        [Item(name, {"Text": text}) for name, text in TEXTS.items()],
        requests=[Request(f"r{n}", "", history) for n, history in enumerate(HISTORIES)],
    )
    stack = Stack(catalog, [Node("copies", Copies())])
    situations = [Situation(request.id, order) for request in catalog.requests for order in (0, 1)]
    return StackVictim(
        stack,
        [TARGET],
        situations,
        access=access,
        history=history,
        limits=limits,
        objective=lambda scores: -scores.total[:, scores.target],  # type: ignore[arg-type]
    )


def chosen(rng: int = 0, **options: Any) -> list[tuple[str, int]]:
    attack = ProfilePollution(**options)
    (step,) = attack([TARGET], victim_of(access=Access.none), np.random.default_rng(rng))
    assert step.objective is None
    return [(edit.item_id, edit.age) for edit in step.intervention if isinstance(edit, HistoryEdit)]


def test_neighbours_by_hand() -> None:
    assert popular(HISTORIES, "t") == ["a", "b", "c"]  # in 3, 2 and 2 histories; b is met before c
    assert preceding(HISTORIES, "t") == ["a", "b"]  # twice and once
    assert preceding(HISTORIES, "d") == []
    likest = similar(victim_of(), "t")
    assert likest[:2] == ["b", "d"]  # steel, kettle and tea; kettle
    assert set(likest[2:]) == {"a", "c"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [("t", 0)]),
        ({"items": 3}, [("t", 0), ("t", 0), ("t", 0)]),
        ({"items": 3, "gap": 2}, [("t", 4), ("t", 2), ("t", 0)]),
        ({"choose": "preceding", "items": 2}, [("b", 0), ("a", 0)]),
        (
            {"choose": "preceding", "items": 3},
            [("d", 0), ("b", 0), ("a", 0)],
        ),  # d is the likest of the others
        ({"choose": "popular", "items": 2, "gap": 1}, [("b", 1), ("a", 0)]),
        ({"choose": "similar", "items": 1}, [("b", 0)]),
    ],
)
def test_what_is_chosen(options: dict[str, Any], expected: list[tuple[str, int]]) -> None:
    assert chosen(**options) == expected


def test_random_items_follow_the_seed_and_leave_the_target_out() -> None:
    first = chosen(choose="random", items=4)
    assert first == chosen(choose="random", items=4)
    assert sorted(item for item, _ in first) == ["a", "b", "c", "d"]
    assert len({tuple(chosen(seed, choose="random", items=4)) for seed in range(8)}) > 1
    assert len(chosen(choose="random", items=7)) == 7  # more than there are: they come again


@pytest.mark.parametrize("signal", ["ranks", "scores"])
def test_a_search_finds_what_works_and_never_gets_worse(signal: str) -> None:
    attack = ProfilePollution(choose="search", items=2, signal=signal, width=4)
    victim = victim_of(queries=600)
    steps = []
    try:
        for step in attack([TARGET], victim, np.random.default_rng(3)):
            steps.append(step)
            if len(steps) == 12:
                break
    except BudgetExhausted:
        pass
    losses = [step.objective for step in steps]
    assert losses == sorted(losses, reverse=True)  # type: ignore[type-var]
    assert losses[-1] < losses[0]  # type: ignore[operator]
    if signal == "scores":
        assert [edit.item_id for edit in steps[-1].intervention] == ["d", "d"]
    else:
        assert losses[-1] == 0  # first for everybody; more cannot be seen in ranks
    assert victim.meter.usage.queries <= 600


def test_every_intervention_is_scored_with_its_own_history() -> None:
    worlds = [(), *((HistoryEdit(item),) for item in "abcd"), (HistoryEdit("a"), *TARGET.edit("x"))]
    together = victim_of().objective(worlds)
    apart = np.concatenate([victim_of().objective([world]) for world in worlds])
    assert together.shape == (6, 8)
    assert np.array_equal(together, apart)
    assert (together[4] == together[0] - 2).all()  # what d does to the target
    assert np.array_equal(together[1], together[5])  # the text is not read here
    screened = victim_of().screen(worlds, ())
    assert np.array_equal(screened, together)
    ranks = victim_of().ranks(worlds)
    assert ranks == [victim_of().ranks([world])[0] for world in worlds]


def test_a_search_that_has_tried_everything_ends() -> None:
    attack = ProfilePollution(choose="search", items=1, width=5)
    steps = list(attack([TARGET], victim_of(), np.random.default_rng(0)))
    assert [edit.item_id for edit in steps[-1].intervention] == ["d"]
    assert 2 <= len(steps) <= 4


def test_access_is_what_it_asks_for() -> None:
    assert ProfilePollution(choose="similar").access == Access.none
    assert ProfilePollution(choose="search").access == Access.ranks
    assert ProfilePollution(choose="search", signal="scores").access == Access.scores
    assert ProfilePollution(items=3).inserts == 3
    assert ProfilePollution().queries_per_step(8) == 0
    assert ProfilePollution(choose="search", width=5).queries_per_step(8) == 40


@pytest.mark.parametrize(
    "given", [{"items": 0}, {"gap": -1}, {"choose": "likely"}, {"width": 0}, {"depth": 1}]
)
def test_options_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ProfilePollution(**given)

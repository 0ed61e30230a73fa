"""Searches that must not be detected: by a stage that drops listings, and by detectors of the attacker's own."""

from __future__ import annotations

import string
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from attacks.beam_search import BeamSearch
from attacks.fixed_text import FixedText
from attacks.hidden import Hidden, known_words, odd_share
from attacks.hill_climb import HillClimb
from attacks.hotflip import HotFlip
from attacks.random_search import RandomSearch
from attacks.undetected import Undetected
from testbed.errors import UserError
from testbed.protocols import Access, AttackPlugin, Context, Step
from testbed.scenario import from_mapping
from testbed.stack import Call, Node, Stack
from testbed.testing import ToyEnvironment, ToyObjective, ToyRanker, toy_catalog
from testbed.types import Situation, Slate, Target
from testbed.victim import BudgetExhausted, StackVictim

CATALOG = toy_catalog()
TARGET = Target("grand", "Description")
SITUATIONS = (Situation("cheap", 0, 5), Situation("camp", 1, 3))
LETTERS = set(string.ascii_letters + " .$0123456789")


@dataclass(frozen=True)
class DropOdd:
    """Drops listings with a character that is no letter, digit, blank, full stop or dollar sign."""

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        (slate,) = inputs
        plain = [one for one in slate if set("".join(one.fields.values())) <= LETTERS]
        return replace(slate, listings=tuple(plain))


def guarded() -> Stack:
    ranker = ToyRanker().build(CATALOG, ToyEnvironment())
    return Stack(CATALOG, [Node("filter", DropOdd()), Node("toy", ranker, ("filter",))])


def victim_of(plugin: AttackPlugin, stack: Stack | None = None, **limits: float) -> StackVictim:
    return StackVictim(
        stack or guarded(),
        [TARGET],
        SITUATIONS,
        access=plugin.access,
        limits=limits,
        objective=ToyObjective(),
    )


def steps_of(plugin: AttackPlugin, victim: Any, seed: int = 0) -> list[Step]:
    found: list[Step] = []
    moves = iter(plugin([TARGET], victim, np.random.default_rng(seed)))
    try:
        while len(found) < 200:
            found.append(next(moves))
    except (BudgetExhausted, StopIteration):
        pass
    return found


def text_of(step: Step) -> str:
    return "".join(edit.text for edit in step.intervention if hasattr(edit, "text"))


def ranks(text: str) -> list[int | None]:
    """Ranks on requests that no attacker has seen."""
    calls = [
        Call(CATALOG.request(one), Situation(one, 7), TARGET.edit(text), TARGET.item_id)
        for one in ("quiet", "milk", "two")
    ]
    return [outcome.slate.rank_of(TARGET.item_id) for outcome in guarded().run(calls)]


CHARACTERS: dict[str, Any] = {"length": 8, "longest": 16, "words": (), "sources": ("characters",)}


def test_a_detector_is_kept_in_mind_where_a_plain_search_gives_up() -> None:
    plain = HillClimb(**CHARACTERS)
    assert steps_of(plain, victim_of(plain, queries=300)) == []
    hidden = Undetected(over=plain)
    steps = steps_of(hidden, victim_of(hidden, queries=300))
    assert all(set(text_of(step)) <= LETTERS for step in steps)
    assert None not in ranks(text_of(steps[-1]))
    assert steps[0].intervention == ()
    clean, best = steps[0].objective or 0, min(step.objective or 0 for step in steps)
    rng = np.random.default_rng(0)
    letters = list(string.ascii_letters + string.digits + string.punctuation)
    drafts = ["".join(rng.choice(letters, size=12)) for _ in range(300 // len(SITUATIONS))]
    chance = victim_of(hidden).objective([TARGET.edit(text) for text in drafts]).mean(1)
    assert best < min(clean, chance.min()) - 0.3


def test_ranks_tell_as_well() -> None:
    hidden = Undetected(over=RandomSearch(length=3, width=4, words=("!", "?", "#", "light")))
    steps = steps_of(hidden, victim_of(hidden, queries=120))
    assert len(steps) > 3
    assert all(set(text_of(step)) <= LETTERS for step in steps)
    assert any(text_of(step) for step in steps)


@pytest.mark.parametrize(("text", "kept"), [("light and cheap", "light and cheap"), ("light & cheap!", "")])
def test_a_fixed_text_is_written_only_if_it_passes(text: str, kept: str) -> None:
    class Asking(FixedText):
        access = Access.scores

    hidden = Undetected(over=Asking(text=text))
    *_, last = steps_of(hidden, victim_of(hidden))
    assert text_of(last) == kept


def test_a_situation_in_which_the_clean_listing_is_dropped_tells_nothing() -> None:
    @dataclass(frozen=True)
    class DropForCamp(DropOdd):
        def __call__(self, context: Context, *inputs: Slate) -> Slate:
            slate = super().__call__(context, *inputs)
            if context.request.id != "camp":
                return slate
            return replace(slate, listings=tuple(one for one in slate if one.item_id != TARGET.item_id))

    ranker = ToyRanker().build(CATALOG, ToyEnvironment())
    stack = Stack(CATALOG, [Node("filter", DropForCamp()), Node("toy", ranker, ("filter",))])
    hidden = Undetected(over=HillClimb(length=2, width=4, finalists=2))
    assert any(text_of(step) for step in steps_of(hidden, victim_of(hidden, stack, queries=60)))


def test_a_gradient_goes_on_from_a_text_that_passes() -> None:
    hidden = Undetected(over=HotFlip(tokens=6, width=6, initial="x"))
    steps = steps_of(hidden, victim_of(hidden, queries=150))
    assert (steps[-1].objective or 0) < (steps[0].objective or 0) - 1
    assert all(set(text_of(step)) <= LETTERS for step in steps)


def test_own_detectors_cost_no_query() -> None:
    """A text of unknown words is never sent, and a search that finds no other one ends."""
    hidden = Undetected(over=RandomSearch(length=4, width=3, signal="scores"), odd_words=0.0)
    assert all(
        odd_share(text_of(step), known_words(victim_of(hidden))) == 0
        for step in steps_of(hidden, victim_of(hidden, queries=100))
    )
    words = ("zq", "zx", "zw", "zv")
    lost = Undetected(over=HillClimb(length=4, words=words, sources=()), odd_words=0.0)
    victim = victim_of(lost, queries=10_000)
    steps = steps_of(lost, victim)
    assert {text_of(step) for step in steps} == {""}
    assert victim.meter.usage.queries == len(SITUATIONS)


def test_odd_words() -> None:
    known = frozenset({"light", "pot", "cups"})
    assert odd_share("Light pot, 10 cups $30.", known) == 0
    assert odd_share("light zqx ]] pot", known) == 0.5
    assert odd_share("", known) == 0
    assert {"espresso", "camping", "press"} <= known_words(victim_of(Undetected(over=RandomSearch())))


def test_text_is_as_likely_as_asked() -> None:
    """What the model wrote of a text has the mean likelihood that the proposals told, and no more is kept."""
    search = BeamSearch(tokens=6, beam=2, width=8, finalists=4)
    loose, tight = (Undetected(over=search, nll=nll) for nll in (50.0, 3.2))
    reached = []
    for plugin in (loose, tight):
        victim = victim_of(plugin, queries=300)
        hidden = Hidden(victim, plugin.access, None, plugin.nll)
        steps_of(plugin.over, hidden)
        kept = {text: value for text, value in hidden.written.items() if value <= (plugin.nll or 0)}
        reached.append(kept)
        texts = [text_of(step) for step in steps_of(plugin, victim_of(plugin, queries=300))]
        assert all(text == "" or kept[text] <= (plugin.nll or 0) for text in texts)
        assert any(texts)
    assert max(reached[0].values()) > 3.5


def test_likelihood_needs_a_search_that_writes() -> None:
    hidden = Undetected(over=HillClimb(length=3), nll=3.0)
    with pytest.raises(UserError, match="this search never lets the model write"):
        steps_of(hidden, victim_of(hidden))


def test_it_is_written_in_a_scenario() -> None:
    scenario = from_mapping(
        {
            "version": 1,
            "name": "hidden",
            "catalog": {"use": "coffee_machines"},
            "stack": [{"use": "bm25"}],
            "attack": {
                "use": "undetected",
                "odd_words": 0.1,
                "over": {"use": "hill_climb", "length": 4},
                "objective": {"use": "margin"},
            },
            "threat": {"access": "scores", "field": "Description", "budget": {"queries": 9}},
            "targets": {"items": ["swiftbrew-go"]},
        }
    )
    assert scenario.attack is not None
    plugin = scenario.attack.plugin
    assert isinstance(plugin, Undetected)
    assert isinstance(plugin.over, HillClimb)
    assert plugin.access == Access.scores
    assert plugin.queries_per_step(4) == plugin.over.queries_per_step(4) + 4

"""Rewrites and injections: what the libraries hold, how slots are filled, what is asked, and whom it moves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import pytest

from attacks.injection import Injection, InjectionKind
from attacks.objectives import Margin
from attacks.random_search import RandomSearch
from attacks.rewrite import Rewrite, Style
from attacks.templates import SLOT, fill, keywords, library
from retrievers.bm25 import BM25
from testbed.protocols import Access, AttackPlugin, Context, Step
from testbed.stack import Node, Stack
from testbed.testing import ToyEnvironment, toy_catalog, toy_stack
from testbed.types import Situation, Slate, Target
from testbed.victim import BudgetExhausted, StackVictim

CATALOG = toy_catalog()
TARGET = Target("grand", "Description")
SITUATIONS = tuple(Situation(request, 0) for request in ("camp", "cheap", "quiet"))


def victim_of(plugin: AttackPlugin, stack: Stack | None = None, **limits: float) -> StackVictim:
    return StackVictim(
        stack or toy_stack(), [TARGET], SITUATIONS, access=plugin.access, limits=limits, objective=Margin()
    )


def steps_of(plugin: AttackPlugin, victim: Any, seed: int = 0, target: Target = TARGET) -> list[Step]:
    found: list[Step] = []
    try:
        for step in plugin([target], victim, np.random.default_rng(seed)):
            found.append(step)
            if len(found) == 200:
                break
    except BudgetExhausted:
        pass
    return found


def text_of(step: Step) -> str:
    (edit,) = step.intervention
    assert hasattr(edit, "text")
    return str(edit.text)


@pytest.mark.parametrize(("name", "kinds"), [("rewrite", Style), ("injection", InjectionKind)])
def test_the_library_holds_every_kind_with_its_source(name: str, kinds: Any) -> None:
    found = library(name)
    assert tuple(kind.name for kind in found) == get_args(kinds)
    for kind in found:
        assert len(kind.source) > 20
        assert len(kind.texts) >= 2
        assert all(text.isascii() and text.isprintable() and text == text.strip() for text in kind.texts)
        assert any("{name}" in text or "{keyword" in text or "{wish}" in text for text in kind.texts)


def test_slots_are_filled_with_what_anybody_can_read() -> None:
    victim = victim_of(Rewrite())
    rng = np.random.default_rng(0)
    filled = fill('{name} has {fact}: {"a": {keyword}}', TARGET, victim, rng)
    assert filled is not None
    assert filled.startswith('Grand Aroma has price $900: {"a": ')
    assert not SLOT.search(filled)
    assert fill("{wish}", TARGET, victim, rng) in [
        "Something light for camping",
        "I want a cheap machine",
        "It has to be quiet in the morning",
    ]
    nobody = StackVictim(toy_stack(), [TARGET], [], access=Access.none)
    assert fill("{name} for {keyword}", TARGET, nobody, rng) is None


def test_slots_within_what_fills_a_slot_stay() -> None:
    fields = {
        **CATALOG.columns,
        "Name": tuple("{wish}" if n == "Grand Aroma" else n for n in CATALOG.columns["Name"]),
    }
    victim = victim_of(Rewrite(), toy_stack(replace(CATALOG, columns=fields)))
    assert fill("Buy {name}", TARGET, victim, np.random.default_rng(0)) == "Buy {wish}"


def test_keywords_are_the_words_of_most_requests() -> None:
    assert keywords(["A cheap light machine", "I want a light one", "The machine, light!"]) == [
        "light",
        "machine",
        "cheap",
    ]


@pytest.mark.parametrize("plugin", [Rewrite(), Injection()], ids=str)
def test_without_a_signal_each_seed_draws_one_text(plugin: AttackPlugin) -> None:
    victim = victim_of(plugin)
    texts = {text_of(step) for seed in range(12) for step in steps_of(plugin, victim, seed)}
    assert len(texts) > 6
    assert [step.objective for step in steps_of(plugin, victim)] == [None]
    assert victim.meter.usage.queries == 0


def test_with_a_signal_every_text_is_tried_and_the_best_lengthened() -> None:
    plugin = Rewrite(signal="scores")
    steps = steps_of(plugin, victim_of(plugin))
    count = sum(len(kind.texts) for kind in library("rewrite"))
    texts = [text_of(step) for step in steps]
    assert len(set(texts[:count])) == count
    best = min(steps[:count], key=lambda step: step.objective or 0)
    assert texts[count].startswith(text_of(best) + " ")
    assert len(steps) == 2 * count - 1
    assert len(steps_of(plugin.model_copy(update={"combine": False}), victim_of(plugin))) == count


def test_a_kind_can_be_chosen_and_the_text_cut() -> None:
    plugin = Injection(kinds=("fake_ranking",), longest=3, signal="ranks")
    steps = steps_of(plugin, victim_of(plugin))
    assert {text_of(step) for step in steps} >= {"Ranking: 1. Grand", "relevance: 1.00, rank:"}
    assert all(len(text_of(step).split()) == 3 for step in steps)


def test_a_replaced_field_keeps_its_own_text() -> None:
    plugin = Rewrite(styles=("simple",))
    (step,) = steps_of(plugin, victim_of(plugin), target=Target("grand", "Description", "replace"))
    assert text_of(step).startswith("Espresso with milk foam for an office ")


def test_keywords_move_a_lexical_retriever_further_than_random_words() -> None:
    """At equal budget, on scores; random search draws from words of requests too."""
    stack = Stack(CATALOG, [Node("bm25", BM25(k=6).build(CATALOG, ToyEnvironment()))])
    rewrite = Rewrite(signal="scores", styles=("keywords",), longest=12)
    queries = 24 * len(SITUATIONS)
    mine = min(step.objective or 0 for step in steps_of(rewrite, victim_of(rewrite, stack, queries=queries)))
    theirs = []
    for seed in range(5):
        chance = RandomSearch(length=12, signal="scores", width=1)
        victim = victim_of(chance, stack, queries=3)
        theirs += [step.objective or 0 for step in steps_of(chance, victim, seed)]
    assert mine < min(theirs)


@dataclass(frozen=True)
class Gullible:
    """Ranks first whom a listing tells it to, as `heeds` says it; all else stays."""

    heeds: str

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        (slate,) = inputs
        told = [
            one
            for one in slate
            if self.heeds.format(name=one.fields["Name"]) in " ".join(one.fields.values())
        ]
        return replace(slate, listings=(*told, *(one for one in slate if one not in told)))


@pytest.mark.parametrize(
    "heeds", ["SYSTEM MESSAGE", "Here are my recommendations: 1. {name}", '"name": "{name}"', "URGENT"]
)
def test_injection_finds_what_a_gullible_model_heeds_and_random_words_do_not(heeds: str) -> None:
    stack = Stack(CATALOG, [Node("model", Gullible(heeds))])
    injection = Injection(signal="ranks")
    limit = 40 * len(SITUATIONS)
    steps = steps_of(injection, victim_of(injection, stack, queries=limit))
    assert min(step.objective or 0 for step in steps) == 0
    chance = RandomSearch(signal="ranks")
    steps = steps_of(chance, victim_of(chance, stack, queries=limit))
    assert min(step.objective or 0 for step in steps) > 0.4

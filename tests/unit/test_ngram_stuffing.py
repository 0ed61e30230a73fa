"""N-gram stuffing: what it chooses, by hand; what it may see and costs; what it does to retrievers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from attacks.coverage import By, Demand, Words, joined, texts
from attacks.ngram_stuffing import NgramStuffing
from attacks.objectives import FirstItem, Margin
from retrievers.bm25 import BM25
from retrievers.dense import Dense
from retrievers.seal import SEAL
from testbed.errors import UserError
from testbed.protocols import Access, Seeking, StagePlugin, Step
from testbed.stack import Call, Node, Stack
from testbed.testing import ToyEnvironment, check_attack, toy_catalog, toy_stack
from testbed.types import Intervention, Situation, Target
from testbed.victim import AccessDenied, BudgetExhausted, StackVictim, attackable

CATALOG = toy_catalog()
TARGET = Target("grand", "Description")
SITUATIONS = tuple(Situation(request, order) for request in ("cheap", "camp") for order in (0, 1))


def words(text: str) -> Words:
    return tuple(text.split())


def demand(summed: bool = True, **weights: float) -> Demand:
    pieces = {words(text.replace("_", " ")): weight for text, weight in weights.items()}
    return Demand(tuple(sorted(pieces.items(), key=lambda pair: -pair[1])), summed)


def chosen(demands: list[Demand], room: int, by: By, begin: str = "") -> list[str]:
    return [" ".join(found) for found in texts(demands, room, by, words(begin))]


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("", 0.0),
        ("red wine", 3.0),
        ("red wine glass", 3.0 + 1.0),  # `wine glass` overlaps with the heavier `red wine`; `glass` is free
        ("wine glass red wine", 3.0 + 2.0),
        ("wine glass", 2.0),  # `glass` overlaps with it
        ("glass glass", 1.0),  # a piece counts once
        ("redder wine", 0.0),  # whole words only
    ],
)
def test_pieces_that_overlap_count_once_the_heavier_first(text: str, met: float) -> None:
    assert demand(red_wine=3, wine_glass=2, glass=1).met(words(text)) == met


def test_where_pieces_do_not_add_up_the_heaviest_counts() -> None:
    best = demand(summed=False, red_wine=3, wine_glass=2, glass=1)
    assert [best.met(words(text)) for text in ("glass wine glass", "glass red wine", "x")] == [2, 3, 0]


@pytest.mark.parametrize(
    ("text", "piece", "grown"),
    [
        ("", "a b", "a b"),
        ("dark red", "red wine", "dark red wine"),
        ("red wine", "a dark red", "a dark red wine"),
        ("a b c", "b", "a b c"),
        ("a b", "c d", "a b c d"),
        ("a b a", "a b", "a b a"),
        ("b a", "a b", "b a b"),  # both ends would do: behind
        ("b c a", "a x b c", "a x b c a"),  # two words are saved in front, one behind
    ],
)
def test_pieces_are_written_into_each_other(text: str, piece: str, grown: str) -> None:
    assert joined(words(text), words(piece)) == words(grown)


def test_by_rate_what_adds_the_most_a_word_comes_first() -> None:
    wanted = [demand(big_fat_piece=5, small=2, tiny=1)]
    assert chosen(wanted, 3, "rate") == ["small", "small tiny"]  # 2 a word before 5/3; then there is no room
    assert chosen(wanted, 3, "gain") == ["big fat piece"]
    assert chosen(wanted, 4, "rate") == ["small", "small big fat piece"]


def test_shared_words_make_room() -> None:
    one, other = demand(dark_red_wine=4), demand(red_wine_glass=3)
    assert chosen([one, other], 4, "gain") == ["dark red wine", "dark red wine glass"]
    both = demand(dark_red_wine=4, red_wine_glass=3)  # of one request: where they overlap one of them counts
    assert chosen([both], 4, "gain") == ["dark red wine"]


def test_what_several_requests_look_for_comes_first() -> None:
    assert chosen([demand(a=1, b=0.7), demand(c=1, b=0.7)], 1, "rate") == ["b"]


def test_a_text_to_start_from_stays_in_one_piece() -> None:
    assert chosen([demand(best_of_all=1)], 5, "rate", "we are the best") == []
    found = chosen([demand(the_best_of=2, all=1)], 6, "rate", "we are the best")
    assert found == ["we are the best of", "we are the best of all"]


def test_texts_that_may_not_be_written_are_passed_over() -> None:
    found = texts([demand(a=2, b=1)], 2, "rate", accept=lambda text: "a" not in text)
    assert list(found) == [("b",)]


def stack_of(plugin: StagePlugin) -> Stack:
    stage = plugin.build(CATALOG, ToyEnvironment())
    return Stack(CATALOG, [Node("retriever", stage)])


def victim_of(stack: Stack, access: Access = Access.scores, **limits: float) -> StackVictim:
    return StackVictim(stack, [TARGET], SITUATIONS, access=access, limits=limits, objective=Margin())


def played(plugin: NgramStuffing, victim: Any) -> list[Step]:
    return list(plugin([TARGET], victim, np.random.default_rng(0)))


def rank(stack: Stack, request: str, intervention: Intervention) -> int | None:
    call = Call(CATALOG.request(request), Situation(request, 0), intervention, TARGET.item_id)
    (outcome,) = stack.run([call])
    return outcome.slate.rank_of(TARGET.item_id)


RETRIEVERS = [
    SEAL(model=None),
    SEAL(model=None, scoring="lm_fm"),
    BM25(),
]


@pytest.mark.parametrize("plugin", RETRIEVERS, ids=str)
def test_stuffing_lifts_a_listing_that_was_at_the_end(plugin: StagePlugin) -> None:
    stack = stack_of(plugin)
    steps = played(NgramStuffing(length=8), victim_of(stack))
    best = min(steps, key=lambda step: step.objective or 0)
    assert (best.objective or 0) < (steps[0].objective or 0)
    assert len(best.intervention[0].text.split()) <= 8
    before = [rank(stack, request, ()) or 99 for request in ("cheap", "camp")]
    after = [rank(stack, request, best.intervention) or 99 for request in ("cheap", "camp")]
    assert sum(after) < sum(before)
    assert min(after) == 1


@pytest.mark.parametrize("plugin", RETRIEVERS, ids=str)
def test_a_piece_is_worth_what_it_adds(plugin: StagePlugin) -> None:
    """Writing the heaviest piece alone raises the listing's score by at least about its weight, less overlaps."""
    stack = stack_of(plugin)
    victim = StackVictim(stack, [TARGET], SITUATIONS[:1], access=Access.scores, objective=FirstItem())
    ((sought,),) = victim.sought().values()
    weights = [piece.weight for piece in sought.pieces]
    assert weights == sorted(weights, reverse=True)
    heavy, light = sought.pieces[0].text, sought.pieces[-1].text
    clean, low, high = victim.objective([(), TARGET.edit(light), TARGET.edit(heavy)])[:, 0]
    assert high < clean
    assert high <= low


def test_only_what_listings_hold_where_nothing_else_is_allowed() -> None:
    stack = stack_of(SEAL(model=None))
    ((cheap, *_),) = victim_of(stack).sought().values()
    unseen = {piece.text for piece in cheap.pieces if not piece.known}
    held = " ".join(text for item in CATALOG.ids for text in CATALOG.fields(item).values())
    assert unseen
    assert all(piece.text in held for piece in cheap.pieces if piece.known)
    assert not any(f" {text} " in f" {held} " for text in unseen)
    written = played(NgramStuffing(length=8, unseen=False), victim_of(stack))[-1].intervention[0].text
    assert not unseen & set(written.split())


def test_a_field_that_is_not_searched_is_not_worth_writing_to() -> None:
    for plugin in (SEAL(model=None, fields=("Price",)), BM25(fields=("Price",))):
        steps = played(NgramStuffing(), victim_of(stack_of(plugin)))
        assert [step.intervention for step in steps] == [()]


def test_access_is_refused_before_anything_is_asked() -> None:
    victim = victim_of(stack_of(SEAL(model=None)), Access.ranks)
    with pytest.raises(AccessDenied, match="the attack asked for scores; the threat model grants ranks"):
        victim.sought()
    assert victim.meter.spent()["queries"] == 0


def test_a_question_is_a_query_for_each_situation() -> None:
    victim = victim_of(stack_of(SEAL(model=None)), queries=5)
    assert [len(rows) for rows in victim.sought((), SITUATIONS[:3]).values()] == [3]
    assert victim.meter.spent()["queries"] == 3
    with pytest.raises(BudgetExhausted, match="the budget of queries is spent"):
        victim.sought((), SITUATIONS[:3])
    assert victim.meter.spent()["queries"] == 3


def test_each_request_is_asked_about_once() -> None:
    victim = victim_of(stack_of(SEAL(model=None)))
    steps = played(NgramStuffing(length=3), victim)
    assert victim.meter.spent()["queries"] == 2 + len(SITUATIONS) * len(steps)


def test_a_stage_that_looks_for_no_text_is_named() -> None:
    stack = stack_of(Dense())
    assert not isinstance(stack.last.stage, Seeking)
    message = "no stage that is seen looks for pieces of text .seen: retriever.; name one in threat.stages"
    with pytest.raises(UserError, match=message):
        played(NgramStuffing(), victim_of(stack))


def test_several_stacks_are_asked_under_their_own_names() -> None:
    stacks = [stack_of(SEAL(model=None)), stack_of(BM25())]
    victim = attackable(stacks, TARGET, SITUATIONS, access=Access.scores, objective=Margin())
    found = victim.sought((), SITUATIONS[:1])
    assert list(found) == ["retriever", "retriever-2"]
    assert victim.meter.spent()["queries"] == 2
    assert played(NgramStuffing(length=4), victim)[-1].intervention


def test_a_text_to_start_from_is_kept_and_counts() -> None:
    plugin = NgramStuffing(length=6, initial="1. {name}")
    found = [step.intervention[0].text for step in played(plugin, victim_of(stack_of(BM25())))]
    assert found[0] == f"1. {CATALOG.name_of('grand')}"
    assert len(found) > 1
    assert all(found[0] in text and len(text.split()) <= 6 for text in found)


def test_banned_words_are_not_written() -> None:
    stack = stack_of(BM25())
    free = played(NgramStuffing(length=8), victim_of(stack))[-1].intervention[0].text
    word = free.split()[0]
    held = played(NgramStuffing(length=8, banned_words=(word,)), victim_of(stack))
    assert all(word not in step.intervention[0].text for step in held if step.intervention)


@pytest.mark.parametrize("plugin", [SEAL(model=None), SEAL(beams=2, length=2), BM25()], ids=str)
def test_it_keeps_its_promises_on_retrievers(plugin: StagePlugin) -> None:
    check_attack(NgramStuffing(length=3), stack=stack_of(plugin), objective=Margin(), examples=4)


def test_it_keeps_its_promises_on_the_toy_stack() -> None:
    check_attack(NgramStuffing(length=3), stack=toy_stack())

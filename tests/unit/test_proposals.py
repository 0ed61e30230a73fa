"""Continuations are the model's own next tokens where the text stands, metered and refused like any call."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch

from retrievers.bm25 import BM25
from retrievers.llm import LanguageModelRecommender
from retrievers.llm.proposals import drawn
from testbed.language import Prefix, Row
from testbed.protocols import Access, Sampling
from testbed.stack import Node, Stack
from testbed.testing import ToyEnvironment, ToyObjective, tiny_language_model, toy_catalog, toy_stack
from testbed.testing.tiny import FAMILIES
from testbed.types import Place, Situation, Target
from testbed.victim import AccessDenied, BudgetExhausted, StackVictim

SITUATION = Situation("cheap", 0, 4)


def victim_of(stack: Stack, place: Place = "append", **options: Any) -> StackVictim:
    options = {"access": Access.scores, "objective": ToyObjective(), **options}
    return StackVictim(stack, [Target("grand", "Description", place)], [SITUATION], **options)


def stack_of(**options: Any) -> Stack:
    catalog = toy_catalog()
    plugin = LanguageModelRecommender(system="Rank.", opening="Best:\n1.", **options)
    return Stack(catalog, [Node("llm", plugin.build(catalog, ToyEnvironment()))])


@pytest.mark.parametrize("family", FAMILIES)
def test_next_tokens_are_those_of_teacher_forcing(family: str) -> None:
    model = tiny_language_model(family)
    ids = model.encode("Name: coffee machine with a steel body, quiet and cheap, for two people")
    rows = [tuple(ids[6:10]), tuple(ids[6:7]), tuple(ids[6:])]
    found = model.next_log_probs(model.prefix(ids[:6]), rows)
    assert found.shape == (3, len(model.pieces))
    assert found.exp().sum(1).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    for row, logs in zip(rows, found, strict=True):
        ((first, second),) = model.log_probs(Prefix(), [Row((*ids[:6], *row), ((9,), (77,)))])
        assert logs[[9, 77]].tolist() == pytest.approx([float(first[0]), float(second[0])], abs=1e-4)
    assert torch.allclose(
        found, model.next_log_probs(Prefix(), [(*ids[:6], *row) for row in rows]), atol=1e-4
    )


@pytest.mark.parametrize("reading", ["likelihood", "pointwise"])
@pytest.mark.parametrize("template", ["lines", "json", "prose"])
@pytest.mark.parametrize("place", get_args(Place))
def test_proposals_follow_the_prompt_up_to_the_edit(reading: str, template: str, place: Place) -> None:
    """The text in front of the edit, as the model reads it, gives the same log-probabilities."""
    stack = stack_of(reading=reading, template=template)
    victim, stage = victim_of(stack, place), stack.last.stage
    (target,) = victim._targets
    (surface,) = victim_of(stack, place, access=Access.gradients).surfaces().values()
    for text in ("", "steel body", "é x"):
        (row,) = victim.continuations([target.edit(text)], 5, 3)
        assert len(row) == 5
        decode = stage.model.decode  # type: ignore[attr-defined]
        for one in row:
            (ids,) = surface.encode([one.text])
            assert ids is not None
            assert len(ids) == one.tokens
            whole = _prompt(stack, target, one.text)
            (start,) = (
                spot
                for spot in range(len(whole))
                if tuple(whole[spot : spot + len(ids)]) == ids and _before_the_edit(decode(whole[:spot]))
            )
            ((found,),) = stage.model.log_probs(  # type: ignore[attr-defined]
                Prefix(), [Row(tuple(whole[: start + len(ids) - 1]), (ids[-1:],))]
            )
            assert one.log_prob == pytest.approx(float(found[0]), abs=1e-3)


def _before_the_edit(text: str) -> bool:
    listing = text.partition("Grand Aroma")[2].replace('"', "").rstrip()
    return listing.endswith(("for an office", "Description:")) and listing.count("Description:") == 1


def _prompt(stack: Stack, target: Target, text: str) -> list[int]:
    """The whole prompt with the text in it, as tokens."""
    from testbed.protocols import Context

    stage: Any = stack.last.stage
    context = Context(stack.catalog.request(SITUATION.request), SITUATION, target.item_id, 0)
    shown = stage.present(context, stack.catalog.source(target.edit(text)))
    (prompt,) = stage.prompts([context], [shown])
    if stage.options.reading == "pointwise":
        return list(prompt.parts[(shown.rank_of(target.item_id) or 1) - 1])
    return list(prompt.token_ids)


class Plain:
    """A surface where every token is a letter and every text survives, but for `q`."""

    def decode(self, sequences: Any) -> list[str]:
        return ["".join(chr(97 + token) for token in ids) for ids in sequences]

    def encode(self, texts: Any) -> list[Any]:
        return [None if "q" in text else tuple(ord(char) - 97 for char in text) for text in texts]


def draw(logs: list[float], count: int, seed: int = 0, **options: Any) -> str:
    """The last letters of what is drawn."""
    found = drawn(
        (3,),
        torch.tensor(logs).log_softmax(0),
        Plain(),  # type: ignore[arg-type]
        count,
        np.random.default_rng(seed),
        Sampling(**options),
    )
    assert all(one.text[0] == "d" and one.tokens == 2 for one in found)
    return "".join(one.text[1] for one in found)


def test_draws_by_hand() -> None:
    logs = np.log([0.1, 0.4, 0.3, 0.2]).tolist()
    assert draw(logs, 3, temperature=0) == "bcd"
    assert draw(logs, 9, temperature=0, top_k=2) == "bc"
    assert draw(logs, 9, temperature=0, top_p=0.71) == "bcd"
    assert draw(logs, 9, temperature=0, top_p=0.69) == "bc"
    assert draw(logs, 9, temperature=0, top_p=1e-9) == "b"
    assert draw(logs, 2, temperature=0, accept=lambda text: "c" not in text) == "bd"
    assert sorted(draw(logs, 9)) == list("abcd")
    assert draw([0.0] * 16 + [9.0, 0.0], 1, temperature=0) == "a"  # q does not survive


def test_draws_follow_the_distribution() -> None:
    logs = np.log([0.1, 0.4, 0.3, 0.2]).tolist()
    first = [draw(logs, 2, seed)[0] for seed in range(2000)]
    assert [first.count(letter) / 2000 for letter in "abcd"] == pytest.approx([0.1, 0.4, 0.3, 0.2], abs=0.04)
    sharp = [draw(logs, 1, seed, temperature=0.5) for seed in range(2000)]
    squares = np.array([0.01, 0.16, 0.09, 0.04])
    wanted = (squares / squares.sum()).tolist()
    assert [sharp.count(letter) / 2000 for letter in "abcd"] == pytest.approx(wanted, abs=0.04)


def test_a_seed_decides() -> None:
    for stack in (toy_stack(), stack_of()):
        edit = victim_of(stack)._targets[0].edit("ab")
        found = [victim_of(stack).continuations([edit, edit], 4, seed)[0] for seed in (1, 1, 2)]
        assert found[0] == found[1] != found[2]


def test_continuations_are_metered_and_refused() -> None:
    for stack in (toy_stack(), stack_of()):
        victim = victim_of(stack, limits={"queries": 3})
        edits = [victim._targets[0].edit(text) for text in ("ab", "a")]
        victim.continuations(edits, 2, 0)
        assert victim.meter.usage.queries == 2
        assert victim.meter.usage.tokens > 10
        with pytest.raises(BudgetExhausted, match="the budget of queries is spent"):
            victim.continuations(edits, 2, 0)
        poor = victim_of(stack, limits={"tokens": 10})
        with pytest.raises(BudgetExhausted, match="the budget of tokens is spent"):
            poor.continuations(edits, 2, 0)
        assert poor.meter.usage.queries == 0
        with pytest.raises(AccessDenied, match="the attack asked for scores; the threat model grants ranks"):
            victim_of(stack, access=Access.ranks).continuations(edits, 2, 0)
        assert victim_of(stack).continuations([], 2, 0) == []


def test_a_text_that_does_not_stand_is_not_continued() -> None:
    victim = victim_of(stack_of(field_limit=40))
    (target,) = victim._targets
    assert victim.continuations([target.edit("far too long for a field that is cut")], 3, 0) == [[]]
    assert victim.continuations([target.edit("a\nb")], 3, 0) == [[]]


def test_a_text_that_changes_the_order_of_the_list_is_grown_too() -> None:
    """What stands behind the edit is told from the list that the text itself is in."""
    catalog, env = toy_catalog(), ToyEnvironment()
    plugin = LanguageModelRecommender(system="Rank.", opening="Best:\n1.", order="fixed")
    nodes = [Node("bm25", BM25(k=5).build(catalog, env)), Node("llm", plugin.build(catalog, env), ("bm25",))]
    victim = victim_of(Stack(catalog, nodes))
    edits = [victim._targets[0].edit(text) for text in ("milk foam", "want the cheap machine", "Cheap cheap")]
    calls = victim._calls(Access.scores, edits, [SITUATION])
    assert len({slate.ids for _, slate in victim._arrive(victim._stack.last, calls)}) > 1
    likeliest = Sampling(temperature=0)
    together = victim.continuations(edits, 3, 1, sampling=likeliest)
    alone = [victim.continuations([edit], 3, 1, sampling=likeliest)[0] for edit in edits]
    assert [[one.text for one in row] for row in together] == [[one.text for one in row] for row in alone]
    assert all(together)

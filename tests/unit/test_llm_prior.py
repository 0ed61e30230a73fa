"""Prior correction: scores, losses and gradients are those of two questions asked by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from attacks.objectives import Eisl, ExpectedRank, FirstItem, Margin
from retrievers.llm import LanguageModelRecommender
from retrievers.llm.entries import entries
from retrievers.llm.stage import Recommender
from testbed.protocols import Access, Context, ObjectivePlugin, Probe, Scores
from testbed.stack import Call, Node, Stack
from testbed.testing import ToyEnvironment, toy_catalog
from testbed.testing.tiny import tiny_network
from testbed.types import Request, Situation, Slate, Target
from testbed.victim import StackVictim

CATALOG = toy_catalog()
REQUESTS = CATALOG.requests
TARGET = Target("grand", "Description")
TEXTS = ["good cup x", "good hat x", "nice cup x", "best of all by far", "good cup y"]
NEUTRAL = "Which product?"
NETWORK = tiny_network("llama")
OBJECTIVES = [FirstItem(), Margin(), ExpectedRank(), Eisl(), FirstItem(fluency=0.5)]


class Seen(ObjectivePlugin):
    """Not a loss: the score of one listing, so that all of them can be read."""

    rivals = True
    column: int = 0

    def __call__(self, scores: Scores) -> Tensor:
        return scores.total[:, self.column]


def stage_of(**options: Any) -> Recommender:
    chosen = {"system": "Rank.", "opening": "Best:\n1.", "prior": "subtract", "neutral_request": NEUTRAL}
    stage = LanguageModelRecommender(**{**chosen, **options}).build(CATALOG, ToyEnvironment())
    assert isinstance(stage, Recommender)
    return stage


def context_of(order: int = 0, slot: int | None = 3, request: Request = REQUESTS[0]) -> Context:
    return Context(request, Situation(request.id, order, slot), "grand", 0, {})


def probe_of(order: int = 0, slot: int = 3, texts: list[str] = TEXTS) -> Probe:
    return Probe(context_of(order, slot), [CATALOG.source(TARGET.edit(text)) for text in texts])


def fresh(probe: Probe) -> Probe:
    return replace(probe, context=replace(probe.context, memo={}))


@cache
def log_p(trunk: tuple[int, ...], answer: tuple[int, ...]) -> float:
    """log p(answer | trunk) by one pass of the untouched network."""
    with torch.no_grad():
        logits = NETWORK(torch.tensor([[*trunk, *answer]])).logits[0].float().log_softmax(-1)
    return sum(float(logits[len(trunk) - 1 + at, token]) for at, token in enumerate(answer))


def by_hand(stage: Recommender, context: Context, slate: Slate) -> dict[str, float]:
    """Corrected score of every listing from two whole calls, prompts written out by a stage without prior."""
    plain = stage_of(prior="none", reading=stage.options.reading)
    shown = plain.present(context, slate)
    asked = replace(context, request=replace(context.request, text=NEUTRAL))
    found: dict[str, float] = dict.fromkeys(shown.ids, 0.0)
    for sign, question in ((1, context), (-1, asked)):
        (prompt,) = plain.prompts([question], [shown])
        for index, item in enumerate(shown.ids):
            if prompt.parts:
                yes, no = (log_p(prompt.parts[index], word) for word in plain.attackable.words)
                found[item] += sign * (yes - no)
            else:
                found[item] += sign * log_p(prompt.token_ids, prompt.answers[index])
    return found


@pytest.mark.parametrize("reading", ["likelihood", "pointwise"])
def test_scores_are_those_of_two_calls(reading: str) -> None:
    stage, plain = stage_of(reading=reading), stage_of(reading=reading, prior="none")
    calls = [
        (context_of(order, request=request), (CATALOG.source(TARGET.edit(text)),))
        for order in (0, 1)
        for request in REQUESTS[:2]
        for text in ("", "good cup x")
    ]
    for (context, (slate,)), found in zip(calls, stage.many(calls), strict=True):
        expected = by_hand(stage, context, slate)
        assert {one.item_id: one.score for one in found} == pytest.approx(expected, abs=1e-4)
        assert list(found.ids) == sorted(expected, key=lambda item: -expected[item])
        alone = stage(context, slate)
        assert {one.item_id: one.score for one in alone} == pytest.approx(expected, abs=1e-4)
        without = plain(context, slate)
        assert {one.item_id: one.score for one in without} != pytest.approx(expected, abs=1e-2)
        assert found.usage.tokens == alone.usage.tokens > without.usage.tokens


def test_a_request_that_is_the_neutral_one_leaves_the_order_of_presentation() -> None:
    stage = stage_of()
    context = context_of(request=Request("n", NEUTRAL))
    found = stage(context, CATALOG.source())
    assert [one.score for one in found] == pytest.approx([0.0] * len(CATALOG), abs=1e-4)


def test_the_neutral_question_is_shared_by_requests() -> None:
    """Two requests about the same listings take one neutral question, and the listings once."""
    stage = stage_of()
    calls = [(context_of(request=request), (CATALOG.source(),)) for request in REQUESTS[:2]]
    plain = stage_of(prior="none")
    extra = sum(one.usage.computed for one in stage.many(calls)) - sum(
        one.usage.computed for one in plain.many(calls)
    )
    (prompt,) = stage.prompts([calls[0][0]], [stage.present(*calls[0][:1], calls[0][1][0])])
    answers = sum(len(answer) for answer in prompt.answers)
    assert 0 < extra < answers + 60 < len(prompt.token_ids)


@pytest.mark.parametrize("reading", ["likelihood", "pointwise"])
def test_an_objective_sees_the_scores_that_rank(reading: str) -> None:
    stage, probe = stage_of(reading=reading), probe_of()
    shown = [stage.present(probe.context, slate).ids for slate in probe.slates]
    for column in range(len(CATALOG)):
        losses, _ = stage.losses(probe, Seen(column=column))
        for slate, loss, ids in zip(probe.slates, losses, shown, strict=True):
            expected = by_hand(stage, probe.context, slate)
            assert loss == pytest.approx(expected[ids[column]], abs=1e-4)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@pytest.mark.parametrize("reading", ["likelihood", "pointwise"])
def test_what_is_shared_changes_no_number(reading: str, objective: ObjectivePlugin) -> None:
    if reading == "pointwise" and objective.listed:
        pytest.skip("pointwise readings have no list")
    stage = stage_of(reading=reading)
    one, two = probe_of(), probe_of(order=1, slot=1, texts=TEXTS[:2])
    alone = [float(stage.losses(fresh(Probe(one.context, [s])), objective)[0][0]) for s in one.slates]
    assert len({round(loss, 4) for loss in alone}) > 3
    together, _ = stage.losses_of([one, two], objective)
    assert together[0] == pytest.approx(alone, abs=1e-4)
    for base in ("good cup x", "good cap", "x"):
        bases = [CATALOG.source(TARGET.edit(base))] * 2
        beside, usage = stage.screen([fresh(one), fresh(two)], bases, objective, None)
        assert beside[0] == pytest.approx(alone, abs=1e-4)
        assert beside[1] == pytest.approx(together[1], abs=1e-4)
        assert usage.computed < usage.tokens


@pytest.mark.parametrize("objective", [FirstItem(), Margin(), FirstItem(fluency=0.5)], ids=str)
def test_the_frozen_tail_is_exact_for_the_known_text(objective: ObjectivePlugin) -> None:
    stage, probe = stage_of(), probe_of(texts=["x y z", "x q z", "w y z"])
    exact, whole = stage.losses(probe, objective)
    base = CATALOG.source(TARGET.edit("x y z"))
    for recompute in (4, 40):
        (screened,), _ = stage.screen([fresh(probe)], [base], objective, recompute)
        assert screened[0] == pytest.approx(exact[0], abs=1e-4)
        assert screened == pytest.approx(exact, abs=0.5)
        assert screened[1] != pytest.approx(exact[1], abs=1e-6)
    again = fresh(probe)
    stage.screen([again], [base], objective, 4)
    _, known = stage.screen([again], [base], objective, 4)
    assert known.computed < whole.computed / 2


def test_the_frozen_tail_asks_both_questions_behind_what_is_frozen() -> None:
    """Whatever is frozen ends where the questions part, so that neither sees the other's tokens."""
    stage, probe = stage_of(), probe_of(texts=["x y z", "x q z"])
    base = CATALOG.source(TARGET.edit("x y z"))
    few, _ = stage.screen([fresh(probe)], [base], Margin(), 1)
    more, _ = stage.screen([fresh(probe)], [base], Margin(), 8)
    assert few[0] == pytest.approx(more[0], abs=1e-5)


def test_entries_stand_behind_the_answer_that_is_ranked_by_corrected_scores() -> None:
    stage = stage_of()
    context = context_of()
    clean = stage.present(context, CATALOG.source())
    scores = by_hand(stage, context, CATALOG.source())
    best = [CATALOG.name_of(item) for item in sorted(scores, key=lambda one: -scores[one]) if item != "grand"]
    found, _ = entries(stage, context, clean, clean.ids.index("grand"), 3)
    last = stage.model.decode(found[2].token_ids)
    assert last == f" {best[0]}\n2. {best[1]}\n3. {CATALOG.name_of('grand')}\n"
    loss, _ = stage.losses(probe_of(texts=TEXTS[:1]), Eisl(position_weight=0))
    shown = stage.present(context, probe_of().slates[0])
    total = 0.0
    for entry in found:
        before = entry.token_ids[: -entry.length]
        name = entry.token_ids[-entry.length :]
        logs = []
        for question in (context, stage.neutral(context)):
            (prompt,) = stage.prompts([question], [shown])
            logs.append(log_p((*prompt.token_ids, *before), name))
        total += np.exp(logs[0] - logs[1])
    assert loss[0] == pytest.approx(-np.log(total) / found[0].length, abs=1e-4)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@pytest.mark.parametrize("reading", ["likelihood", "pointwise"])
def test_gradients_are_those_of_plain_backpropagation(reading: str, objective: ObjectivePlugin) -> None:
    """Both prompts through the untouched network, the edit's tokens as one-hot rows that both share."""
    if reading == "pointwise" and objective.listed:
        pytest.skip("pointwise readings have no list")
    stage, context = stage_of(reading=reading), context_of()
    slate = CATALOG.source(TARGET.edit("good cup x"))
    found, usage = stage.gradient(replace(context, memo={}), slate, TARGET, objective)
    (loss,), _ = stage.losses(Probe(replace(context, memo={}), [slate]), objective)
    assert found.loss == pytest.approx(loss, abs=1e-4)
    assert usage.tokens == stage.losses(Probe(replace(context, memo={}), [slate]), objective)[1].tokens

    network = NETWORK
    table = network.get_input_embeddings().weight.detach()
    one_hot = torch.nn.functional.one_hot(torch.tensor(found.token_ids), len(table)).float()
    one_hot.requires_grad_(True)
    shown = stage.present(context, slate)
    place = shown.ids.index("grand")

    def logs(trunk: tuple[int, ...], answer: tuple[int, ...], edited: bool) -> Tensor:
        ids = torch.tensor([*trunk, *answer])
        inputs = table[ids]
        labels = torch.nn.functional.one_hot(ids, len(table)).float()
        if edited:
            (start,) = [
                at
                for at in range(len(trunk))
                if tuple(trunk[at : at + len(found.token_ids)]) == found.token_ids
            ]
            stop = start + len(found.token_ids)
            inputs = torch.cat([inputs[:start], one_hot @ table, inputs[stop:]])
            labels = torch.cat([labels[:start], one_hot, labels[stop:]])
        out = network(inputs_embeds=inputs[None]).logits[0].float().log_softmax(-1)
        return (out[:-1] * labels[1:]).sum(1)

    totals, listed, fluency, length = 0.0, 0.0, None, 1
    for sign, question in ((1, context), (-1, stage.neutral(context))):
        (prompt,) = stage.prompts([question], [shown])
        if reading == "pointwise":
            parts = []
            for index, trunk in enumerate(prompt.parts):
                answers = [
                    logs(trunk, word, index == place)[-len(word) :].sum() for word in stage.attackable.words
                ]
                parts.append(answers[0] - answers[1])
            trunk = prompt.parts[place]
        else:
            trunk = prompt.token_ids
            parts = [logs(trunk, answer, True)[-len(answer) :].sum() for answer in prompt.answers]
            length = len(prompt.answers[place])
            later, _ = entries(stage, context_of(), shown, place, 3)
            listed = listed + sign * torch.stack(
                [logs(trunk, entry.token_ids, True)[-entry.length :].sum() for entry in later]
            )
        totals = totals + sign * torch.stack(parts)
        if sign == 1:
            at = next(i for i in range(len(trunk)) if trunk[i : i + len(found.token_ids)] == found.token_ids)
            own = logs(trunk, (1,), True)[at - 1 : at - 1 + len(found.token_ids)]
            fluency = -own.mean()[None]
    scores = Scores(
        totals[None],  # type: ignore[index]
        torch.full((len(CATALOG),), float(length)),
        place,
        fluency,
        listed[None] if reading == "likelihood" else None,  # type: ignore[index]
    )
    value = objective(scores).sum()
    (expected,) = torch.autograd.grad(value, one_hot)
    assert value.item() == pytest.approx(loss, abs=1e-4)
    # a label is one-hot too where fluency is asked for; elsewhere its gradient is none
    torch.testing.assert_close(found.gradient, expected, rtol=1e-3, atol=1e-4)


def test_prices_cover_both_questions() -> None:
    for reading in ("likelihood", "pointwise"):
        stage, plain = stage_of(reading=reading), stage_of(reading=reading, prior="none")
        context, slate = context_of(), CATALOG.source()
        assert stage(context, slate).usage.tokens <= stage.price(context, slate)
        assert 1.6 * plain.price(context, slate) < stage.price(context, slate)
        _, usage = stage.losses(Probe(context, [slate]), Margin())
        assert plain.losses(Probe(context, [slate]), Margin())[1].tokens < usage.tokens
        assert usage.tokens <= stage.price(context, slate)


def test_the_attacker_is_served_from_the_scores_that_rank() -> None:
    stack = Stack(CATALOG, [Node("llm", stage_of())])
    situations = [Situation(REQUESTS[0].id, order, slot) for order, slot in ((0, 1), (1, 4))]
    victim = StackVictim(
        stack, [TARGET], situations, access=Access.scores, objective=ExpectedRank(temperature=0.001)
    )
    edits = [TARGET.edit(text) for text in TEXTS]
    assert victim.objective(edits) == pytest.approx(np.array(victim.ranks(edits), float), abs=1e-3)
    outcome = stack.run([Call(REQUESTS[0], situations[0], edits[0], "grand")])[0]
    assert outcome.usage.tokens > 0


@pytest.mark.parametrize("reading", ["constrained", "generate"])
def test_a_reading_without_scores_has_no_prior(reading: str) -> None:
    with pytest.raises(
        ValidationError,
        match=rf"prior 'subtract' needs a reading that gives every listing a score "
        rf"\(likelihood or pointwise\), not '{reading}'",
    ):
        LanguageModelRecommender(reading=reading, prior="subtract")  # type: ignore[arg-type]


def test_the_neutral_request_is_something() -> None:
    with pytest.raises(ValidationError, match="prior 'subtract' needs a neutral_request"):
        LanguageModelRecommender(prior="subtract", neutral_request="  ")

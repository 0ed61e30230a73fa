"""Losses of variants: as a plain forward pass gives them, whatever is shared between them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from attacks.objectives import FirstItem, Margin
from retrievers.llm import LanguageModelRecommender
from retrievers.llm.edits import Edits, target_of
from retrievers.llm.entries import entries
from retrievers.llm.questions import Variant
from retrievers.llm.readings import Prompt
from retrievers.llm.stage import Recommender
from testbed.errors import UserError
from testbed.language import Row
from testbed.protocols import Access, Context, ObjectivePlugin, Probe, Scores
from testbed.stack import Node, Stack
from testbed.testing import ToyEnvironment, toy_catalog
from testbed.types import Listing, Place, Situation, Slate, Target
from testbed.victim import BudgetExhausted, StackVictim

CATALOG = toy_catalog()
REQUESTS = CATALOG.requests
TEXTS = ["good cup x", "good hat x", "nice cup x", "best of all by far", "good cup y"]


class Listed(ObjectivePlugin):
    """Log-probability of the target as the third entry, and how fluent the text is."""

    weight: float = 0.0
    entry: int = 2

    @property
    def fluent(self) -> bool:
        return self.weight > 0

    @property
    def listed(self) -> int:
        return 3

    def __call__(self, scores: Scores) -> Tensor:
        assert scores.entries is not None
        loss = -scores.entries[:, self.entry]
        return loss if scores.fluency is None else loss + self.weight * scores.fluency


class Fluent(ObjectivePlugin):
    """How fluent the text is, and nothing else."""

    @property
    def fluent(self) -> bool:
        return True

    def __call__(self, scores: Scores) -> Tensor:
        assert scores.fluency is not None
        return scores.fluency


def stage_of(**options: Any) -> Recommender:
    plugin = LanguageModelRecommender(**{"system": "Rank.", "opening": "Best:\n1.", **options})
    stage = plugin.build(CATALOG, ToyEnvironment())
    assert isinstance(stage, Recommender)
    return stage


def probe_of(target: Target, order: int = 0, slot: int = 3, texts: list[str] = TEXTS) -> Probe:
    context = Context(REQUESTS[0], Situation(REQUESTS[0].id, order, slot), target.item_id, 0, {})
    return Probe(context, [CATALOG.source(target.edit(text)) for text in texts])


def plain(stage: Recommender, token_ids: tuple[int, ...]) -> Tensor:
    """Log-probability of each token but the first, by one pass of the untouched network."""
    from testbed.testing.tiny import tiny_network

    with torch.no_grad():
        logits = tiny_network("llama")(torch.tensor([token_ids])).logits[0].float().log_softmax(-1)
    return logits[:-1].gather(1, torch.tensor(token_ids[1:])[:, None])[:, 0]


def prompt_of(stage: Recommender, probe: Probe, index: int) -> tuple[int, ...]:
    shown = stage.present(probe.context, probe.slates[index])
    (prompt,) = stage.prompts([probe.context], [shown])
    return prompt.token_ids


@pytest.mark.parametrize("place", ["append", "prepend", "replace"])
@pytest.mark.parametrize("template", ["lines", "json", "prose"])
def test_fluency_is_the_likelihood_of_the_text_in_place(place: Place, template: str) -> None:
    stage, target = stage_of(template=template), Target("grand", "Description", place)
    probe = probe_of(target)
    losses, _ = stage.losses(probe, Fluent())
    surface = stage.surface(target)
    for index, (text, loss) in enumerate(zip(TEXTS, losses, strict=True)):
        (ids,) = surface.encode([text])
        assert ids is not None
        prompt = prompt_of(stage, probe, index)
        starts = [at for at in range(len(prompt)) if prompt[at : at + len(ids)] == ids]
        assert len(starts) == 1
        expected = -plain(stage, prompt)[starts[0] - 1 : starts[0] + len(ids) - 1].mean()
        assert loss == pytest.approx(float(expected), abs=1e-4)


def test_an_unedited_listing_has_no_fluency_to_speak_of() -> None:
    stage = stage_of()
    probe = probe_of(Target("grand", "Description"), texts=["", "good cup"])
    losses, _ = stage.losses(probe, Fluent())
    assert losses[0] == 0 < losses[1]


def test_entries_are_the_name_behind_the_answer_without_the_attack() -> None:
    stage, target = stage_of(), Target("grand", "Description")
    probe = probe_of(target)
    clean = stage.present(probe.context, CATALOG.source())
    (prompt,) = stage.prompts([probe.context], [clean])
    totals = [
        float(plain(stage, (*prompt.token_ids, *answer))[len(prompt.token_ids) - 1 :].sum())
        for answer in prompt.answers
    ]
    best = [prompt.names[i] for i in np.argsort(totals)[::-1] if prompt.names[i] != "Grand"]
    name = CATALOG.name_of("grand")
    best = [other for other in best if other != name]
    found, taken = entries(stage, probe.context, clean, clean.ids.index("grand"), 3)
    assert taken >= len(prompt.token_ids)
    assert entries(stage, probe.context, clean, clean.ids.index("grand"), 3) == (found, 0)
    answers = [stage.model.decode(entry.token_ids) for entry in found]
    assert answers == [f" {name}\n", f" {best[0]}\n2. {name}\n", f" {best[0]}\n2. {best[1]}\n3. {name}\n"]
    assert [stage.model.decode(one.token_ids[-one.length :]) for one in found] == [f" {name}\n"] * 3
    for number, entry in enumerate(found):
        losses, _ = stage.losses(probe, Listed(entry=number))
        for index, loss in enumerate(losses):
            whole = (*prompt_of(stage, probe, index), *entry.token_ids)
            assert loss == pytest.approx(-float(plain(stage, whole)[-entry.length :].sum()), abs=1e-3)


@pytest.mark.parametrize("objective", [FirstItem(), Margin(), Fluent(), Listed(weight=0.5)])
@pytest.mark.parametrize("reading", ["likelihood", "pointwise"])
def test_what_is_shared_changes_no_number(reading: str, objective: ObjectivePlugin) -> None:
    """Alone, together with another probe, and beside a known text: always the same losses."""
    if reading == "pointwise" and objective.listed:
        pytest.skip("pointwise readings have no list")
    stage, target = stage_of(reading=reading), Target("grand", "Description")
    one, two = probe_of(target), probe_of(target, order=1, slot=1, texts=TEXTS[:2])
    alone = [
        float(stage.losses(Probe(replace(one.context, memo={}), [slate]), objective)[0][0])
        for slate in one.slates
    ]
    assert len({round(loss, 4) for loss in alone}) > 3
    together, _ = stage.losses_of([one, two], objective)
    assert together[0] == pytest.approx(alone, abs=1e-4)
    assert len(together[1]) == 2
    for base in ("good cup x", "good cap", "x"):
        fresh = [replace(probe, context=replace(probe.context, memo={})) for probe in (one, two)]
        bases = [CATALOG.source(target.edit(base))] * 2
        beside, usage = stage.screen(fresh, bases, objective, None)
        assert beside[0] == pytest.approx(alone, abs=1e-4)
        assert beside[1] == pytest.approx(together[1], abs=1e-4)
        assert usage.computed < usage.tokens


@pytest.mark.parametrize("objective", [FirstItem(), Fluent(), Listed(weight=0.5)])
def test_the_frozen_tail_is_exact_for_the_known_text(objective: ObjectivePlugin) -> None:
    stage, target = stage_of(), Target("grand", "Description")
    probe = probe_of(target, texts=["x y z", "x q z", "w y z"])
    exact, _ = stage.losses(probe, objective)
    fresh = replace(probe, context=replace(probe.context, memo={}))
    (screened,), _ = stage.screen([fresh], [CATALOG.source(target.edit("x y z"))], objective, 4)
    assert screened[0] == pytest.approx(exact[0], abs=1e-4)
    assert screened == pytest.approx(exact, abs=0.5)
    if not objective.fluent:
        assert screened[1] != pytest.approx(exact[1], abs=1e-6)


def test_equal_rows_are_asked_once() -> None:
    """Pointwise, the rivals' prompts are the same in every variant."""
    stage, target = stage_of(reading="pointwise"), Target("grand", "Description")
    _, few = stage.losses(probe_of(target, texts=TEXTS[:1]), Margin())
    _, many = stage.losses(probe_of(target, texts=TEXTS[:1] * 4 + TEXTS[1:2]), Margin())
    assert many.tokens == pytest.approx(5 * few.tokens, rel=0.1)
    assert many.computed < 1.5 * few.computed


def test_a_list_is_needed_for_entries() -> None:
    stage = stage_of(reading="pointwise")
    with pytest.raises(UserError, match="needs an answer that is a list; reading 'pointwise' has none"):
        stage.losses(probe_of(Target("grand", "Description")), Listed())


def test_the_answer_without_the_attack_is_counted_once() -> None:
    stage, target = stage_of(), Target("grand", "Description")
    probe = probe_of(target)
    (again,) = stage.prompts([probe.context], [stage.present(probe.context, CATALOG.source())])
    _, first = stage.losses(probe, Listed())
    _, later = stage.losses(probe, Listed())
    whole = len(again.token_ids) + sum(len(answer) - 1 for answer in again.answers)
    assert first.tokens - later.tokens == whole
    fresh = replace(probe, context=replace(probe.context, memo={}))
    _, screened = stage.screen([fresh], [CATALOG.source(target.edit("x"))], Listed(), None)
    assert screened.tokens == first.tokens


def test_later_entries_are_priced() -> None:
    """A budget that covers what a call takes lets it through; one token less refuses it before it is made."""
    stage = stage_of()
    stack = Stack(CATALOG, [Node("llm", stage)])
    target, place = Target("grand", "Description"), Situation(REQUESTS[0].id, 0, 3)

    def victim_of(limits: dict[str, float]) -> StackVictim:
        return StackVictim(stack, [target], [place], access=Access.scores, limits=limits, objective=Listed())

    free = victim_of({})
    free.objective([target.edit("x y")])
    price = 4 * stage.price(probe_of(target).context, CATALOG.source(target.edit("x y")))
    assert 0 < free.meter.usage.tokens <= price
    victim_of({"tokens": price}).objective([target.edit("x y")])
    refused = victim_of({"tokens": price - 1})
    with pytest.raises(BudgetExhausted):
        refused.objective([target.edit("x y")])
    assert refused.meter.usage.tokens == 0


@pytest.mark.parametrize("objective", [Fluent(), Listed(weight=0.5)])
def test_gradients_have_the_loss_of_losses(objective: ObjectivePlugin) -> None:
    stage, target = stage_of(), Target("grand", "Description")
    probe = probe_of(target)
    losses, _ = stage.losses(probe, objective)
    found, _ = stage.gradient(replace(probe.context, memo={}), probe.slates[0], target, objective)
    assert found.loss == pytest.approx(losses[0], abs=1e-4)


def test_where_text_was_written() -> None:
    clean = CATALOG.fields("grand")
    for place in ("append", "prepend", "replace"):
        target = Target("grand", "Description", place)  # type: ignore[arg-type]
        (listing,) = (one for one in CATALOG.source(target.edit("x y")) if one.item_id == "grand")
        assert target_of(clean, listing) == target
    assert target_of(clean, Listing("grand", clean)) is None


def test_edits_that_are_not_there() -> None:
    stage, target = stage_of(), Target("grand", "Description")
    context = probe_of(target).context
    shown = stage.present(context, CATALOG.source())
    with pytest.raises(ValueError, match="carries no edit"):
        Edits(stage, context, target).spans([shown], shown.ids.index("grand"), [(1, 2, 3)])
    assert isinstance(shown, Slate)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("replace", "Cheap filter machine, ten cupsx"),
        ("replace", "Cheap filter machine, ten cups and more"),
        ("prepend", "Cheap filter machine, ten cups x"),
        ("append", "x Cheap filter machine, ten cups"),
    ],
)
def test_fluent_text_that_repeats_the_listing(place: Place, text: str) -> None:
    """Where a text begins or ends like the listing, the gradient is that of the target's own place."""
    target = Target("basic", "Description", place)
    plugin = LanguageModelRecommender(system="Rank.", opening="Best:\n1.")
    stack = Stack(CATALOG, [Node("llm", plugin.build(CATALOG, ToyEnvironment()))])
    victim = StackVictim(
        stack, [target], [Situation("cheap", 0)], access=Access.gradients, objective=FirstItem(fluency=1)
    )
    assert np.isfinite(victim.objective([target.edit(text)])).all()
    (gradient,) = victim.gradients(target.edit(text)).values()
    assert [gradient.token_ids] == victim.surfaces()["llm"].encode([text])


def test_pointwise_scores_of_a_gradient_are_on_its_device() -> None:
    """The row with the edit is where the model is, the others' values come back to the CPU."""
    variant = Variant(Prompt((), (), ()), 1, (Row((1,), ((2,), (3,))),) * 2, own=1)
    parts = [[torch.zeros(1), torch.ones(1)], [torch.zeros(1, device="meta")] * 2]
    scores = variant.scores(parts, Margin(), pointwise=True)
    assert {scores.total.device.type, scores.length.device.type} == {"meta"}

"""What an attacker with access may ask of the recommender: losses of many variants, gradients, the tokenizer's view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from retrievers.llm.readings import Prompt
from retrievers.llm.surface import ListingSurface, written
from testbed.language import Prefix, Row, common_prefix
from testbed.language.sharing import WORTH, shared_length
from testbed.protocols import Context, Objective, Probe, Scores, TokenGradient
from testbed.types import Listing, Slate, Target, Usage

if TYPE_CHECKING:
    from retrievers.llm.stage import Recommender


class Attackable:
    """Scores and gradients of a recommender, in its own presentation order and tokenisation."""

    def __init__(self, stage: Recommender) -> None:
        self.stage, self.model = stage, stage.model
        self.pointwise = stage.options.reading == "pointwise"
        self.words = tuple(tuple(ids) for ids in self.model.encode_many(["Yes", "No"]))

    def losses(self, probe: Probe, objective: Objective) -> tuple[np.ndarray, Usage]:
        """Objective of each variant: (len(probe.slates),)."""
        shown = [self.stage.present(probe.context, slate) for slate in probe.slates]
        places = [_place(slate, probe.context.target_id) for slate in shown]
        asked = [index for index, place in enumerate(places) if place is not None]
        losses = np.full(len(shown), np.inf)
        if not asked:
            return losses, Usage()
        prompts = self.stage.prompts([probe.context] * len(asked), [shown[index] for index in asked])
        wanted = [(prompt, places[index]) for prompt, index in zip(prompts, asked, strict=True)]
        rows = [row for prompt, place in wanted for row in self.rows(prompt, place or 0, objective.rivals)]
        prefix, cached = self._prefix(probe.context, rows)
        cut = [replace(row, trunk=row.trunk[len(prefix) :]) for row in rows]
        found = [[part.sum() for part in row] for row in self.model.log_probs(prefix, cut)]
        per_prompt = len(rows) // len(prompts)
        for index, (prompt, place), start in zip(asked, wanted, range(0, len(rows), per_prompt), strict=True):
            total = torch.stack([torch.stack(row) for row in found[start : start + per_prompt]])
            scores = self.scores(total, prompt, place or 0, objective.rivals)
            losses[index] = float(objective(scores)[0])
        tokens = sum(len(row.trunk) + sum(map(len, row.branches)) for row in rows)
        return losses, Usage(tokens=tokens, computed=cached + sum(row.width for row in cut))

    def screen(
        self, probe: Probe, base: Slate, objective: Objective, recompute: int
    ) -> tuple[np.ndarray, Usage]:
        """Objective of each variant, approximately: what follows the edit stays as it is computed for `base`.

        Only the edit, the last `recompute` tokens of the prompt and the answers go through the model. Exact
        where that is not possible: pointwise readings, edits of another length, a target that is not listed.
        """
        shown = [self.stage.present(probe.context, slate) for slate in (base, *probe.slates)]
        places = {_place(slate, probe.context.target_id) for slate in shown}
        if self.pointwise or len(places) != 1 or None in places:
            return self.losses(probe, objective)
        (place,) = places
        prompts = self.stage.prompts([probe.context] * len(shown), shown)
        first, others = prompts[0].token_ids, [prompt.token_ids for prompt in prompts[1:]]
        start = min(common_prefix(first, ids) for ids in others)
        stop = len(first) - min(common_prefix(first[::-1], ids[::-1]) for ids in others)
        if any(len(ids) != len(first) for ids in others) or stop <= start or len(first) - stop <= recompute:
            return self.losses(probe, objective)
        whole, cached = self._prefix(probe.context, [Row(first, ())])
        if len(whole) < len(first) - 1:
            whole = self.model.prefix(first[:-1], whole)
        rows = [
            Row(
                (*prompt.token_ids[start:stop], *prompt.token_ids[len(first) - recompute :]),
                self.rows(prompt, place or 0, objective.rivals)[0].branches,
            )
            for prompt in prompts[1:]
        ]
        found = self.model.frozen_log_probs(whole, slice(start, stop), rows)
        total = torch.stack([torch.stack([part.sum() for part in row]) for row in found])
        losses = objective(self.scores(total, prompts[0], place or 0, objective.rivals)).double().numpy()
        tokens = sum(len(ids) + sum(map(len, rows[0].branches)) for ids in others)
        return losses, Usage(tokens=tokens, computed=cached + sum(row.width for row in rows))

    def gradient(
        self, context: Context, slate: Slate, target: Target, objective: Objective
    ) -> tuple[TokenGradient, Usage]:
        """Gradient with respect to the one-hot tokens of the target's edit: (L, V). ValueError without an edit."""
        shown = self.stage.present(context, slate)
        place = _place(shown, target.item_id)
        if place is None:
            raise ValueError("the target is not in the slate")
        (edited,) = self.stage.prompts([context], [shown])
        rows = self.rows(edited, place, objective.rivals)
        own = place if self.pointwise and objective.rivals else 0
        span = self._span(context, shown, place, target, rows[own].trunk)
        prefix, cached = self._prefix(context, [Row(rows[own].trunk[: span.start + 1], ())])
        prefix = prefix.truncated(min(len(prefix), span.start))
        row = replace(rows[own], trunk=rows[own].trunk[len(prefix) :])
        constant = self._rivals(rows, own) if self.pointwise and objective.rivals else None

        def loss(found: torch.Tensor) -> torch.Tensor:
            if constant is not None:
                found = torch.cat([constant[:own], found, constant[own:]])
            return objective(self.scores(found, edited, place, objective.rivals))

        shift = slice(span.start - len(prefix), span.stop - len(prefix))
        slope, value = self.model.gradient(prefix, row, shift, loss)
        tokens = len(rows[own].trunk) + sum(map(len, row.branches))
        usage = Usage(gradient_calls=1, tokens=tokens, computed=cached + row.width)
        return TokenGradient(rows[own].trunk[span], slope, value), usage

    def _span(
        self, context: Context, shown: Slate, place: int, target: Target, trunk: tuple[int, ...]
    ) -> slice:
        """Where the tokens of the edit stand in a prompt; ValueError when there are none.

        Found by prompts that hold a probe in the edit's stead: what follows the edit they have in common.
        """
        fields = self.stage.catalog.fields(target.item_id)
        clean, shown_text = fields.get(target.field, ""), shown.listings[place].fields.get(target.field, "")
        if clean == shown_text:
            raise ValueError("the target carries no edit")
        surface = self.surface(target)
        references = surface.probes or ("",)
        slates = [_rewritten(shown, place, target, fields, probe) for probe in references]
        prompts = self.stage.prompts([context] * len(slates), slates)
        others = [prompt.parts[place] if self.pointwise else prompt.token_ids for prompt in prompts]
        stop = len(trunk) - min(common_prefix(trunk[::-1], other[::-1]) for other in others)
        (ids,) = surface.encode([written(clean, shown_text, target.place)])
        start = stop - len(ids) if ids is not None else -1
        if ids is None or trunk[max(start, 0) : stop] != ids:
            start = min(common_prefix(trunk, other) for other in others)
        if start >= stop:
            raise ValueError("the target's edit is not visible in the prompt")
        return slice(start, stop)

    def surface(self, target: Target) -> ListingSurface:
        """How text in the target's field is tokenised where it stands."""
        opening = "" if self.pointwise else self.stage.options.opening
        return ListingSurface(self.model, self.stage.renderer, self.stage.catalog, target, opening)

    def rows(self, prompt: Prompt, place: int, rivals: bool) -> list[Row]:
        """What has to be scored for one prompt: one row listwise, one per listing pointwise."""
        if self.pointwise:
            parts = prompt.parts if rivals else prompt.parts[place : place + 1]
            return [Row(part, self.words) for part in parts]
        return [Row(prompt.token_ids, prompt.answers if rivals else prompt.answers[place : place + 1])]

    def scores(self, found: torch.Tensor, prompt: Prompt, place: int, rivals: bool) -> Scores:
        """Summed log-probabilities as scores: listwise (1, names), pointwise (listings, yes and no)."""
        column = place if rivals else 0
        if self.pointwise:
            total = (found[:, 0] - found[:, 1])[None]
            return Scores(total, torch.ones(total.shape[1]), column)
        answers = prompt.answers if rivals else prompt.answers[place : place + 1]
        return Scores(
            found, torch.tensor([float(len(answer)) for answer in answers], device=found.device), column
        )

    def _rivals(self, rows: Sequence[Row], own: int) -> torch.Tensor:
        others = [row for index, row in enumerate(rows) if index != own]
        return self.model.score(Prefix(), others) if others else torch.zeros(0, len(self.words))

    def _prefix(self, context: Context, rows: Sequence[Row]) -> tuple[Prefix, int]:
        """What the rows share, kept for the trial; rebuilt when more is shared than is at hand."""
        place = ("prefix", id(self.stage), context.situation)
        length = shared_length([row.trunk for row in rows])
        kept: Prefix = context.memo.get(place, Prefix())
        usable = min(common_prefix(kept.token_ids, rows[0].trunk), length)
        if length - usable < WORTH:
            return kept.truncated(usable), 0
        prefix = self.model.prefix(rows[0].trunk[:length], kept.truncated(usable))
        context.memo[place] = prefix
        return prefix, length - usable


def _place(slate: Slate, target_id: str | None) -> int | None:
    for index, listing in enumerate(slate):
        if listing.item_id == target_id:
            return index
    return None


def _rewritten(slate: Slate, place: int, target: Target, fields: dict[str, str], text: str) -> Slate:
    """The slate with another text in place of the target's edit."""
    shown = slate.listings[place]
    edited = {**shown.fields, target.field: fields.get(target.field, "")}
    for edit in target.edit(text):
        edited = edit.apply(edited)
    listings = (
        *slate.listings[:place],
        Listing(shown.item_id, edited, shown.score),
        *slate.listings[place + 1 :],
    )
    return replace(slate, listings=listings)

"""What an attacker with access may ask of the recommender: losses of many variants, gradients, the tokenizer's view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from retrievers.llm.edits import Edits
from retrievers.llm.questions import Question, Variant, known_prefix, variants
from retrievers.llm.surface import ListingSurface
from testbed.language import Prefix
from testbed.protocols import Context, Objective, Probe, TokenGradient
from testbed.types import Slate, Target, Usage

if TYPE_CHECKING:
    from retrievers.llm.stage import Recommender


class Attackable:
    """Scores and gradients of a recommender, in its own presentation order and tokenisation."""

    def __init__(self, stage: Recommender) -> None:
        self.stage, self.model = stage, stage.model
        self.pointwise = stage.options.reading == "pointwise"
        self.words = tuple(tuple(ids) for ids in self.model.encode_many(["Yes", "No"]))

    def losses(self, probes: Sequence[Probe], objective: Objective) -> tuple[list[np.ndarray], Usage]:
        """Objective of each probe's variants: (len(probe.slates),) each; all probes go through the model together."""
        return self._ask(probes, [None] * len(probes), objective, 0)

    def screen(
        self, probes: Sequence[Probe], bases: Sequence[Slate], objective: Objective, recompute: int | None
    ) -> tuple[list[np.ndarray], Usage]:
        """Objective of each variant close to its probe's base, whose prompt is computed once.

        What a variant's prompt begins with in common with the base's is shared. With a number to `recompute`,
        what follows the edit keeps the keys and values that it has for the base, but for so many last tokens
        of the prompt. Exact where that is not possible: pointwise readings, edits of another length, a target
        that is not listed.
        """
        return self._ask(probes, list(bases), objective, recompute)

    def _ask(
        self,
        probes: Sequence[Probe],
        bases: Sequence[Slate | None],
        objective: Objective,
        recompute: int | None,
    ) -> tuple[list[np.ndarray], Usage]:
        questions = [
            Question.of(self.stage, probe, base, objective, recompute)
            for probe, base in zip(probes, bases, strict=True)
        ]
        found = iter(self.model.log_probs_of([group for question in questions for group in question.groups]))
        losses = [
            question.losses([row for _ in question.groups for row in next(found)], objective, self.pointwise)
            for question in questions
        ]
        return losses, sum((question.usage for question in questions), Usage())

    def gradient(
        self, context: Context, slate: Slate, target: Target, objective: Objective
    ) -> tuple[TokenGradient, Usage]:
        """Gradient with respect to the one-hot tokens of the target's edit: (L, V). ValueError without an edit.

        Where the text stands in two prompts (pointwise, with a prior), the sum of what it does in each.
        """
        shown = self.stage.present(context, slate)
        (variant,) = variants(self.stage, context, [shown], objective, target)
        if variant is None:
            raise ValueError("the target is not in the slate")
        parts = self._values(variant)
        asked = [(context, variant.own)]
        if variant.priors:
            asked.append((self.stage.neutral(context), len(variant.rows) + variant.own))
        computed = variant.taken + sum(one.width for one in variant.every)
        found: list[TokenGradient] = []
        for question, place in asked:
            row = variant.every[place]
            (span,) = Edits(self.stage, question, target).spans([shown], variant.place, [row.trunk])
            start = span.start if row.watched is None else row.watched[0] - 1
            prefix, cached = known_prefix(self.stage, question, row.trunk[:start])

            def loss(mine: list[Tensor], place: int = place) -> Tensor:
                known = [*parts[:place], mine, *parts[place + 1 :]]
                parts[place] = [part.detach() for part in mine]
                return objective(variant.scores(known, objective, self.pointwise)).sum()

            shift = slice(span.start - start, span.stop - start)
            slope, value = self.model.gradient(prefix.truncated(start), row.after(start), shift, loss)
            found.append(TokenGradient(row.trunk[span], slope, value))
            computed += cached - start
        usage = Usage(gradient_calls=1, tokens=variant.tokens + variant.taken, computed=computed)
        return _added(found), usage

    def surface(self, target: Target) -> ListingSurface:
        """How text in the target's field is tokenised where it stands."""
        opening = "" if self.pointwise else self.stage.options.opening
        return ListingSurface(self.model, self.stage.renderer, self.stage.catalog, target, opening)

    def _values(self, variant: Variant) -> list[list[Tensor]]:
        """What every row gets but the target's own, which the gradient computes."""
        others = [index for index in range(len(variant.every)) if index != variant.own]
        found: list[list[Tensor]] = [[] for _ in variant.every]
        if others:
            rows = [variant.every[index] for index in others]
            for index, parts in zip(others, self.model.log_probs(Prefix(), rows), strict=True):
                found[index] = parts
        return found


def _added(found: Sequence[TokenGradient]) -> TokenGradient:
    """Gradients of one loss with respect to the same tokens in several prompts, as one."""
    first = found[0]
    if any(one.token_ids != first.token_ids for one in found[1:]):
        raise ValueError("the text is tokenised differently under the neutral request")
    slope = sum((one.gradient for one in found[1:]), first.gradient)
    return TokenGradient(first.token_ids, slope, first.loss)

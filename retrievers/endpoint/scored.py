"""The likelihood of every listing's name, from servers that return log-probabilities of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from retrievers.endpoint.stage import ServedRecommender
from retrievers.llm.readings import Reply, best_first
from testbed.language.endpoint import Answer, Failed, Question
from testbed.protocols import Context, Objective, Probe, Scores
from testbed.types import Slate, Usage

if TYPE_CHECKING:
    from torch import Tensor


class ScoredRecommender(ServedRecommender):
    """Ranks by log p(name and the line's end | prompt), as the likelihood reading of `llm`; grants scores.

    One request has the prompt once for every name, as a list, and asks for the prompt's own log-probabilities
    (`echo`, `logprobs`) and one token that is not looked at: servers refuse none.
    """

    def question(self, context: Context, shown: Slate) -> Question:
        """One prompt a listing, which ends in its name."""
        return self._asking(context, shown, range(len(shown)))

    def reply(self, shown: Slate, answer: Answer | Failed) -> Reply:
        """Listings by falling log-probability."""
        if isinstance(answer, Failed):
            return Reply((), None, "error", note=answer.note)
        scores = [choice.log_prob or 0.0 for choice in answer.choices]
        order = best_first(scores)
        return Reply(order, tuple(scores[index] for index in order), usage=self.usage(answer))

    def losses(self, probe: Probe, objective: Objective) -> tuple[np.ndarray, Usage]:
        """Objective of each variant: (len(probe.slates),) float64, inf where the target is missing."""
        (found,), usage = self.losses_of([probe], objective)
        return found, usage

    def losses_of(self, probes: Sequence[Probe], objective: Objective) -> tuple[list[np.ndarray], Usage]:
        """`losses` of several probes, asked concurrently. RuntimeError where the server does not answer.

        Without rivals in the objective only the target's name is asked about.
        """
        found = [np.full(len(probe.slates), np.inf) for probe in probes]
        places: list[tuple[int, int, int]] = []
        questions: list[Question] = []
        for number, probe in enumerate(probes):
            for variant, slate in enumerate(probe.slates):
                shown = self.present(probe.context, slate)
                rank = shown.rank_of(probe.context.target_id or "")
                if rank is not None:
                    wanted = range(len(shown)) if objective.rivals else range(rank - 1, rank)
                    places.append((number, variant, rank - 1 if objective.rivals else 0))
                    questions.append(self._asking(probe.context, shown, wanted))
        usage = Usage()
        for (number, variant, column), answer in zip(places, self.endpoint.ask(questions), strict=True):
            if isinstance(answer, Failed):
                raise RuntimeError(answer.note)
            usage += self.usage(answer)
            found[number][variant] = float(objective(_scores(answer, column))[0])
        return found, usage

    def _asking(self, context: Context, shown: Slate, wanted: Sequence[int]) -> Question:
        start = self.options.start
        space = "" if not start or start[-1].isspace() else " "
        endings = tuple(f"{space}{self.name(shown.listings[index].item_id)}\n" for index in wanted)
        text = self.text(context, shown)
        body = {
            "model": self.options.model,
            "prompt": [text + ending for ending in endings],
            "max_tokens": 1,
            "temperature": 0,
            "echo": True,
            "logprobs": 1,
        }
        replicate = 0 if self.options.deterministic else context.seed
        return Question("completions", body | self.options.extra, replicate, endings)


def _scores(answer: Answer, column: int) -> Scores:
    import torch

    totals: Tensor = torch.tensor(
        [[choice.log_prob or 0.0 for choice in answer.choices]], dtype=torch.float64
    )
    lengths = torch.tensor([choice.tokens for choice in answer.choices], dtype=torch.float64)
    return Scores(totals, lengths, column)

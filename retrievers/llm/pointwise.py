"""Pointwise reading: each listing alone, score = log p(yes) − log p(no) (Sachan et al. 2022; Qin et al. 2024).

With a neutral question, less the same under that (see `retrievers.llm.prior`).
"""

from __future__ import annotations

from collections.abc import Sequence

from retrievers.llm.readings import Prompt, Reply, best_first
from testbed.language import LanguageModel, Row
from testbed.language.sharing import log_probs
from testbed.types import Usage

WORDS = ("Yes", "No")


def read(model: LanguageModel, prompts: Sequence[Prompt]) -> list[Reply]:
    """One row per listing of every prompt; the request stands before the product, so it is shared.

    The neutral question about a listing is asked once, whatever requests it is shown for.
    """
    words = tuple(tuple(model.encode(word)) for word in WORDS)
    rows = [Row(part, words) for prompt in prompts for part in prompt.parts]
    priors = dict.fromkeys(
        Row(part, words) for prompt in prompts if prompt.neutral for part in prompt.neutral.parts
    )
    found, computed = log_probs(model, [*rows, *priors])
    values = [float(yes.sum() - no.sum()) for yes, no in found]
    margins, known = iter(values[: len(rows)]), dict(zip(priors, values[len(rows) :], strict=True))
    replies = []
    for prompt in prompts:
        scores = [next(margins) for _ in prompt.parts]
        parts = prompt.parts
        if prompt.neutral is not None:
            scores = [
                score - known[Row(part, words)]
                for score, part in zip(scores, prompt.neutral.parts, strict=True)
            ]
            parts += prompt.neutral.parts
        ranking = best_first(scores)
        tokens = sum(len(part) + sum(map(len, words)) for part in parts)
        usage = Usage(tokens=tokens, computed=round(computed * len(prompt.parts) / max(1, len(rows))))
        replies.append(Reply(ranking, tuple(scores[index] for index in ranking), usage=usage))
    return replies

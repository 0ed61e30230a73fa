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
    """One row per listing and request; the request stands before the product, so it is shared.

    The same question is asked once, whatever prompts it is in, and questions are sorted: a score depends on the set
    of questions that go through the model together, never on the order in which listings are shown. (Between
    batches of another make-up the last digits of a score differ, which in bfloat16 is enough to turn near-ties.)
    """
    words = tuple(tuple(model.encode(word)) for word in WORDS)
    asked = sorted({part for prompt in prompts for part in (*prompt.parts, *_neutral_parts(prompt))})
    found, computed = log_probs(model, [Row(part, words) for part in asked])
    margins = {part: float(yes.sum() - no.sum()) for part, (yes, no) in zip(asked, found, strict=True)}
    whole = sum(len(prompt.parts) for prompt in prompts)
    replies = []
    for prompt in prompts:
        scores = [margins[part] for part in prompt.parts]
        if prompt.neutral is not None:
            scores = [score - margins[part] for score, part in zip(scores, prompt.neutral.parts, strict=True)]
        ranking = best_first(scores)
        tokens = sum(len(part) + sum(map(len, words)) for part in (*prompt.parts, *_neutral_parts(prompt)))
        usage = Usage(tokens=tokens, computed=round(computed * len(prompt.parts) / max(1, whole)))
        replies.append(Reply(ranking, tuple(scores[index] for index in ranking), usage=usage))
    return replies


def _neutral_parts(prompt: Prompt) -> tuple[tuple[int, ...], ...]:
    return () if prompt.neutral is None else prompt.neutral.parts

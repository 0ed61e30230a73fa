"""Likelihood reading: a listing's score is log p(its name and the line's end | prompt), by teacher forcing."""

from __future__ import annotations

from collections.abc import Sequence

from retrievers.llm.readings import Prompt, Reply, best_first
from testbed.language import LanguageModel, Row
from testbed.language.sharing import log_probs
from testbed.types import Usage


def read(model: LanguageModel, prompts: Sequence[Prompt]) -> list[Reply]:
    """Every name is a branch of its prompt, so one pass gives the full ranking."""
    rows = [Row(prompt.token_ids, prompt.answers) for prompt in prompts]
    parts, computed = log_probs(model, rows)
    shares = _shares(computed, len(prompts))
    replies = []
    for row, found, share in zip(rows, parts, shares, strict=True):
        scores = [float(part.sum()) for part in found]
        ranking = best_first(scores)
        usage = Usage(tokens=tokens_of(row), computed=share)
        replies.append(Reply(ranking, tuple(scores[index] for index in ranking), usage=usage))
    return replies


def tokens_of(row: Row) -> int:
    """Logical tokens of a row: each answer counted with the prompt once."""
    return len(row.trunk) + sum(len(branch) for branch in row.branches)


def _shares(total: int, count: int) -> list[int]:
    """Whole shares of tokens that were computed together."""
    return [total // count + (index < total % count) for index in range(count)]

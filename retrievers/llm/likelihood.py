"""Likelihood reading: a listing's score is log p(its name and the line's end | prompt), by teacher forcing.

With a neutral question, less the same under that (see `retrievers.llm.prior`).
"""

from __future__ import annotations

from collections.abc import Sequence

from retrievers.llm.readings import Prompt, Reply, best_first
from testbed.language import LanguageModel, Row
from testbed.language.sharing import log_probs
from testbed.types import Usage


def read(model: LanguageModel, prompts: Sequence[Prompt]) -> list[Reply]:
    """Every name is a branch of its prompt, so one pass gives the full ranking.

    Prompts about the same listings have the same neutral question, which is asked once.
    """
    rows = [_row(prompt) for prompt in prompts]
    priors = dict.fromkeys(_row(prompt.neutral) for prompt in prompts if prompt.neutral)
    parts, computed = log_probs(model, [*rows, *priors])
    known = dict(zip(priors, parts[len(rows) :], strict=True))
    shares = _shares(computed, len(prompts))
    replies = []
    for prompt, row, found, share in zip(prompts, rows, parts[: len(rows)], shares, strict=True):
        scores, tokens = [float(part.sum()) for part in found], tokens_of(row)
        if prompt.neutral is not None:
            prior = _row(prompt.neutral)
            scores = [score - float(part.sum()) for score, part in zip(scores, known[prior], strict=True)]
            tokens += tokens_of(prior)
        ranking = best_first(scores)
        usage = Usage(tokens=tokens, computed=share)
        replies.append(Reply(ranking, tuple(scores[index] for index in ranking), usage=usage))
    return replies


def _row(prompt: Prompt) -> Row:
    return Row(prompt.token_ids, prompt.answers)


def tokens_of(row: Row) -> int:
    """Logical tokens of a row: each answer counted with the prompt once."""
    return len(row.trunk) + sum(len(branch) for branch in row.branches)


def _shares(total: int, count: int) -> list[int]:
    """Whole shares of tokens that were computed together."""
    return [total // count + (index < total % count) for index in range(count)]

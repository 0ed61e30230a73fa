"""Scoring many prompts that share beginnings: the shared tokens go through the model once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from testbed.language.layout import Row, Tokens, common_prefix
from testbed.language.model import LanguageModel, Prefix

WORTH = 32
"""Tokens that a group must share before they are cached: below that, a batch is faster than one more pass."""


def log_probs(
    model: LanguageModel, rows: Sequence[Row], base: Prefix | None = None, *, worth: int = WORTH
) -> tuple[list[list[Tensor]], int]:
    """Branch log-probabilities as `LanguageModel.log_probs`, rows given with their whole trunk.

    Rows are grouped by what they share, recursively, so that for instance the arms of one presentation order
    share the prompt up to the target's listing, and the requests of one arm all of its listings.
    Returns the results in the order of `rows`, and the tokens that went through the model.
    """
    results: list[list[Tensor] | None] = [None] * len(rows)
    computed = _fill(model, list(enumerate(rows)), base or Prefix(), results, worth)
    return [part for part in results if part is not None], computed


def _fill(
    model: LanguageModel,
    rows: list[tuple[int, Row]],
    base: Prefix,
    results: list[list[Tensor] | None],
    worth: int,
) -> int:
    length = shared_length([row.trunk for _, row in rows])
    usable = min(common_prefix(base.token_ids, rows[0][1].trunk), length)
    base = base.truncated(usable)
    computed = 0
    if len(rows) > 1 and length - usable >= worth:
        base = model.prefix(rows[0][1].trunk[:length], base)
        computed += length - usable
    start = len(base)
    leaves: list[tuple[int, Row]] = []
    kin: dict[Tokens, list[tuple[int, Row]]] = {}
    for index, row in rows:
        kin.setdefault(row.trunk[start : start + worth], []).append((index, row))
    for group in kin.values():
        if len(group) > 1 and shared_length([row.trunk for _, row in group]) - start >= worth:
            computed += _fill(model, group, base, results, worth)
        else:
            leaves += group
    if leaves:
        cut = [replace(row, trunk=row.trunk[start:]) for _, row in leaves]
        computed += sum(row.width for row in cut)
        for (index, _), found in zip(leaves, model.log_probs(base, cut), strict=True):
            results[index] = found
    return computed


def shared_length(trunks: Sequence[Sequence[int]]) -> int:
    """Tokens that all trunks start with, at most one short of the shortest (each row keeps a token)."""
    first, last = min(trunks, key=tuple), max(trunks, key=tuple)
    return min(common_prefix(first, last), min(len(trunk) for trunk in trunks) - 1)

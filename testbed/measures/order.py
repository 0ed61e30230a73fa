"""How much the presentation order alone decides, apart from any attack."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from testbed.measures.base import Summary

POSITION_BIAS = Summary("position_bias", "order", (0, 1))
"""Share of the choices that the slot decides: 1 for a reader that always picks slot 1, 0 for a fair one."""
RANK_VARIANCE = Summary("rank_variance", "order", None)
"""Variance of the target's rank over orders within a request, averaged over requests; where listed."""


def winning_slots(
    rankings: Sequence[tuple[str, ...]], pools: Sequence[tuple[str, ...]]
) -> list[tuple[int, int]]:
    """(slot of the item ranked first, size of the pool) per ranking; those without a winner are left out."""
    return [
        (pool.index(ranking[0]), len(pool))
        for ranking, pool in zip(rankings, pools, strict=True)
        if ranking and ranking[0] in pool
    ]


def position_bias(slots: Sequence[tuple[int, int]]) -> float:
    """β from the slots of the winners; nan with fewer than two winners, or a pool of one.

    Model: with probability β the reader takes a slot for its place, else an item for its content. Then the
    slots of N winners in pools of n have χ² = Σ (O − N/n)² / (N/n) with E[χ² / (n − 1)] = 1 + (N − 1) β² when
    one slot is favoured and orders are shuffled, so β² is estimated without bias; it is cut at 0. Winners are
    grouped by pool size and the β² averaged by N. (Cramér's V, bias-corrected as in Bergsma 2013.)
    """
    import numpy as np

    groups: defaultdict[int, list[int]] = defaultdict(list)
    for slot, size in slots:
        groups[size].append(slot)
    parts: list[tuple[int, float]] = []
    for size, taken in groups.items():
        count = len(taken)
        if size < 2 or count < 2:
            continue
        seen = np.bincount(taken, minlength=size)
        chi = float(((seen - count / size) ** 2).sum() * size / count)
        parts.append((count, (chi / (size - 1) - 1) / (count - 1)))
    if not parts:
        return math.nan
    return math.sqrt(max(0.0, sum(count * part for count, part in parts) / sum(count for count, _ in parts)))


def rank_variance(ranks: Sequence[Sequence[int | None]]) -> float:
    """Mean over requests of the variance (n − 1) of the target's rank over orders; unlisted ones left out.

    `ranks`: per request, per order. nan when no request has two listed ranks.
    """
    import numpy as np

    variances = [
        float(np.var(listed, ddof=1))
        for per_order in ranks
        if len(listed := [rank for rank in per_order if rank is not None]) > 1
    ]
    return float(np.mean(variances)) if variances else math.nan

"""How much a listing is seen at its rank."""

from __future__ import annotations

import math

from testbed.measures.base import Level, Seen, each


def at_rank(rank: int | None) -> float:
    """1 / log2(1 + rank), and 0 for an unlisted item (Singh & Joachims 2018, arXiv 1802.07281)."""
    return 0.0 if rank is None else 1.0 / math.log2(1 + rank)


def _value(seen: Seen) -> float:
    return at_rank(seen.rank)


EXPOSURE = Level("exposure", "level", (0, 1), False, each(_value))
"""Exposure of the target: 1 at rank 1, .63 at rank 2, 0 when unlisted."""


def exposure(k: int) -> Level:
    """exposure@k: the same where the target is among the first k, else 0."""

    def value(seen: Seen) -> float:
        return at_rank(seen.rank) if seen.rank is not None and seen.rank <= k else 0.0

    return Level(f"exposure@{k}", "level", (0, 1), False, each(value))

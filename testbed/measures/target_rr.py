"""Reciprocal rank of the target; `RR` without a prefix is the quality measure of ir-measures."""

from __future__ import annotations

from testbed.measures.base import Level, Seen, each


def _value(seen: Seen) -> float:
    return 0.0 if seen.rank is None else 1.0 / seen.rank


TARGET_RR = Level("target_RR", "level", (0, 1), False, each(_value))
"""1 / rank of the target, 0 when unlisted (Voorhees 1999, TREC-8, with the target as the one answer)."""

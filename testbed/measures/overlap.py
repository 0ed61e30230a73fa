"""How much of the head of a list stays?"""

from __future__ import annotations

import math

from testbed.measures.base import Paired, Seen


def overlap(k: int) -> Paired:
    """overlap@k: items that are among the first k before and after, of the longer of both heads; nan for no list."""

    def value(before: Seen, after: Seen) -> float:
        old, new = set(before.ranking[:k]), set(after.ranking[:k])
        longer = max(len(old), len(new))
        return len(old & new) / longer if longer else math.nan

    return Paired(f"overlap@{k}" if k != 10 else "overlap", "harm", (0, 1), False, value)

"""Is the target among the first k, and how much more often under an attack."""

from __future__ import annotations

from testbed.measures.base import Change, Level, Seen, each


def top(k: int) -> Level:
    """top@k: 1 when the target's rank is at most k, else 0; an unlisted target counts as 0."""

    def value(seen: Seen) -> float:
        return float(seen.rank is not None and seen.rank <= k)

    return Level(f"top@{k}", "level", (0, 1), True, each(value))


def lift(k: int) -> Change:
    """lift@k = P(target in top k | after) − P(target in top k | before), paired.

    Kumar & Lakkaraju 2024 (arXiv 2404.07981), section 4, report the two rates; the difference is ours.
    """
    return Change(f"lift@{k}", "effect", (-1, 1), True, top(k))

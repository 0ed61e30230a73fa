"""Was the target ranked at all?"""

from __future__ import annotations

from testbed.measures.base import Level, Seen, each


def _value(seen: Seen) -> float:
    return float(seen.rank is not None)


LISTED = Level("listed", "level", (0, 1), True, each(_value))
"""1 when the target is anywhere in the ranking, else 0. The share of rankings in which a rank exists."""

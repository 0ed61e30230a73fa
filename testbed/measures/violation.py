"""Is the user shown something that breaks a stated wish?"""

from __future__ import annotations

import math

from testbed.measures.base import Level, Seen, each


def violation(k: int) -> Level:
    """violation@k: 1 when an item that breaks the request's hard constraints is among the first k, else 0.

    Undefined for requests whose constraints no item breaks, or that state none. An empty ranking violates
    nothing.
    """

    def value(seen: Seen) -> float:
        if seen.violating is None:
            return math.nan
        return float(not seen.violating.isdisjoint(seen.ranking[:k]))

    return Level(f"violation@{k}", "harm", (0, 1), True, each(value))

"""Did the target move up or down, come in or drop out? Unlisted is a level of its own, below every rank."""

from __future__ import annotations

from testbed.measures.base import Paired, Seen


def _direction(before: Seen, after: Seen) -> int:
    """1 when the target moved up, −1 when down, 0 when its rank is unchanged."""
    old, new = before.rank, after.rank
    if old == new:
        return 0
    if old is None:
        return 1
    if new is None:
        return -1
    return 1 if new < old else -1


def _promoted(before: Seen, after: Seen) -> float:
    return float(_direction(before, after) > 0)


def _demoted(before: Seen, after: Seen) -> float:
    return float(_direction(before, after) < 0)


def _unchanged(before: Seen, after: Seen) -> float:
    return float(_direction(before, after) == 0)


def _net(before: Seen, after: Seen) -> float:
    return float(_direction(before, after))


def _entered(before: Seen, after: Seen) -> float:
    return float(before.rank is None and after.rank is not None)


def _dropped(before: Seen, after: Seen) -> float:
    return float(before.rank is not None and after.rank is None)


PROMOTED = Paired("promoted", "effect", (0, 1), True, _promoted)
"""Share of pairs in which the target's rank improved; entering the list counts."""
DEMOTED = Paired("demoted", "effect", (0, 1), True, _demoted)
"""Share of pairs in which it worsened; dropping out counts."""
UNCHANGED = Paired("unchanged", "effect", (0, 1), True, _unchanged)
"""Share of pairs with the same rank; twice unlisted counts. promoted + demoted + unchanged = 1."""
NET = Paired("net", "effect", (-1, 1), True, _net, signed=True)
"""promoted − demoted."""
ENTERED = Paired("entered", "effect", (0, 1), True, _entered)
"""Share of pairs in which the target was unlisted before and is listed after."""
DROPPED = Paired("dropped", "effect", (0, 1), True, _dropped)
"""Share of pairs in which the target was listed before and is unlisted after."""

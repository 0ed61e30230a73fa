"""Presentation orders as rules: shuffle by hash, then put the target in its slot.

An order is defined for any pool, so it pairs across arms even when an edit changes what was retrieved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from testbed.types import Situation, Slate


def key(order: int, item_id: str) -> bytes:
    """Sort key of an item in an order; BLAKE2b, so it is the same on every machine."""
    return hashlib.blake2b(f"{order}\0{item_id}".encode(), digest_size=8).digest()


def arrange(slate: Slate, situation: Situation, target_id: str | None) -> Slate:
    """The slate in the situation's order, the target (if listed) in its slot or the last one there is."""
    shuffled = sorted(
        slate.listings, key=lambda listing: (key(situation.order, listing.item_id), listing.item_id)
    )
    if target_id is not None and situation.slot is not None:
        target = next((listing for listing in shuffled if listing.item_id == target_id), None)
        if target is not None:
            shuffled.remove(target)
            shuffled.insert(min(situation.slot, len(shuffled)), target)
    return replace(slate, listings=tuple(shuffled))


def slots(count: int, pool: int, which: str | Sequence[int] = "spread") -> tuple[int, ...]:
    """Target slots for `count` orders over a pool: `spread` sees every slot equally often, `late` the last third.

    `late` makes an attack cheap to optimise: little text follows the target. A list is cycled through.
    """
    if not isinstance(which, str):
        return tuple(which[index % len(which)] for index in range(count))
    if which == "late":
        third = max(1, pool // 3)
        return tuple(pool - 1 - index % third for index in range(count))
    return tuple(
        (index * pool + pool // 2) // count % pool if count < pool else index % pool for index in range(count)
    )

"""Do the others keep their order?"""

from __future__ import annotations

import math

from testbed.measures.base import Paired, Seen


def tau(before: tuple[str, ...], after: tuple[str, ...]) -> float:
    """Kendall's τ of two rankings over the items that both list; nan with fewer than two (Kendall 1938).

    No ties, so τ = 1 − 4 · inversions / (n (n − 1)).
    """
    import numpy as np

    place = {item: position for position, item in enumerate(after)}
    order = np.array([place[item] for item in before if item in place])
    n = len(order)
    if n < 2:
        return math.nan
    inversions = int(np.count_nonzero(np.triu(order[:, None] > order[None, :], 1)))
    return 1.0 - 4.0 * inversions / (n * (n - 1))


def _value(before: Seen, after: Seen) -> float:
    target = before.target
    return tau(
        tuple(item for item in before.ranking if item != target),
        tuple(item for item in after.ranking if item != target),
    )


KENDALL = Paired("kendall", "harm", (-1, 1), False, _value)
"""Kendall's τ between before and after over the items other than the target; 1 when nobody else moved."""

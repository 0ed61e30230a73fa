"""Whose visibility does the target's gain come from?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from testbed.measures.base import Paired, Seen
from testbed.measures.exposure import at_rank


def taken(before: Seen, after: Seen) -> dict[str, float]:
    """Exposure each rival lost (positive) or gained (negative); rivals listed in neither are absent."""
    old = {item: at_rank(rank) for rank, item in enumerate(before.ranking, start=1)}
    new = {item: at_rank(rank) for rank, item in enumerate(after.ranking, start=1)}
    rivals = dict.fromkeys((*before.ranking, *after.ranking))
    return {item: old.get(item, 0.0) - new.get(item, 0.0) for item in rivals if item != before.target}


def _total(before: Seen, after: Seen) -> float:
    return sum(taken(before, after).values())


EXPOSURE_TAKEN = Paired("exposure_taken", "harm", None, False, _total, signed=True)
"""Exposure all rivals together lost in a pair. Equals the target's gain when everything is always listed."""


def gini(amounts: Sequence[float]) -> float:
    """Gini coefficient of amounts ≥ 0: 0 when all lose alike, near 1 when one loses all; nan for nothing."""
    import numpy as np

    sizes = np.sort(np.asarray(amounts, dtype=np.float64))
    total = sizes.sum()
    if not len(sizes) or total <= 0:
        return float("nan")
    n = len(sizes)
    return float((2 * np.arange(1, n + 1) - n - 1) @ sizes / (n * total))


def concentration(means: Mapping[str, float]) -> tuple[str | None, float, float]:
    """(who lost most, how much, Gini of losses) from the mean exposure taken per rival; gains count as 0."""
    if not means:
        return None, float("nan"), float("nan")
    worst = max(means, key=lambda item: (means[item], item))
    return worst, means[worst], gini([max(0.0, amount) for amount in means.values()])

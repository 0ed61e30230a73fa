"""What effect could a run have detected? Exact power of the exact McNemar test."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


def mcnemar_power(n: int, gains: float, losses: float, alpha: float = 0.05) -> float:
    """Chance that the exact two-sided McNemar test on n independent pairs rejects at `alpha`.

    `gains`: P(0 → 1), `losses`: P(1 → 0) of a pair. Sums over the number of discordant pairs: exact.
    """
    from scipy import special

    discordant = gains + losses
    if n < 1 or discordant <= 0:
        return 0.0
    m, share, critical = np.arange(n + 1), gains / discordant, _critical(n, alpha)
    # bdtr(k, m, p) = P(X ≤ k): few gains, or few losses.
    few = np.maximum(critical, 0)
    rejects = special.bdtr(few, m, share) + special.bdtr(few, m, 1 - share)
    rejects = np.where(critical >= 0, rejects, 0.0)
    choose = special.gammaln(n + 1) - special.gammaln(m + 1) - special.gammaln(n - m + 1)
    likely = np.exp(choose + special.xlogy(m, discordant) + special.xlog1py(n - m, -discordant))
    return float(likely @ rejects)


@lru_cache(maxsize=16)
def _critical(n: int, alpha: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """(n + 1,) largest count of the rarer kind with which m discordant pairs still reject; −1 for none."""
    from scipy import special

    found = np.full(n + 1, -1)
    count = -1
    for m in range(n + 1):
        while 2 * special.bdtr(count + 1, m, 0.5) <= alpha and count + 1 <= m // 2:
            count += 1
        found[m] = count
    return found


def rates(before: float, after: float, *, demotes: bool = True) -> tuple[float, float]:
    """(gains, losses) for two top-k rates: independent pairs, or an attack that never demotes."""
    if demotes:
        return (1 - before) * after, before * (1 - after)
    return max(0.0, after - before), 0.0


def detectable(
    n: int, before: float, *, power: float = 0.8, demotes: bool = True, alpha: float = 0.05
) -> float | None:
    """Smallest rise of a top-k rate above `before` that n pairs detect with this power, or None."""

    def reached(after: float) -> bool:
        return mcnemar_power(n, *rates(before, after, demotes=demotes), alpha) >= power

    low, high = before, 1.0
    if before >= 1 or not reached(high):
        return None
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high - before

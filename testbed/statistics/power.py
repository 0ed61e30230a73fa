"""What effect could a run have detected? Exact power of the exact McNemar test."""

from __future__ import annotations

import numpy as np


def mcnemar_power(n: int, gains: float, losses: float, alpha: float = 0.05) -> float:
    """Chance that the exact two-sided McNemar test on n independent pairs rejects at `alpha`.

    `gains`: P(0 → 1), `losses`: P(1 → 0) of a pair. Sums over the number of discordant pairs: exact.
    """
    from scipy import stats

    discordant = gains + losses
    if n < 1 or discordant <= 0:
        return 0.0
    m = np.arange(n + 1)
    # Largest count of the rarer kind at which the test still rejects, per number of discordant pairs m.
    nearest = np.asarray(stats.binom.ppf(alpha / 2, m, 0.5))
    critical = np.where(2 * stats.binom.cdf(nearest, m, 0.5) <= alpha, nearest, nearest - 1)
    share = gains / discordant
    rejects = stats.binom.cdf(critical, m, share) + stats.binom.sf(m - critical - 1, m, share)
    rejects = np.where(critical >= 0, rejects, 0.0)
    return float(stats.binom.pmf(m, n, discordant) @ rejects)


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

"""Estimates with intervals over users and seeds, and differences paired by both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import special

from testbed.seeds import rng_for
from testbed.statistics import Cells, Interval, Intervals, sign_flip, spread

MANY = 5000
"""With more users than that a mean is normal, and the bootstrap, which only adds the skew, is not drawn."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference with its interval, and `p` of a sign-flip test over users, None without a user."""

    interval: Interval
    p: float | None


def level(values: np.ndarray, bounds: tuple[float, float] | None = (0.0, 1.0)) -> Interval:
    """Mean over seeds and users, (S, M), with a 95 % interval over both, crossed."""
    cells = Cells(values[:, :, None].astype(np.float64), (0,) * len(values))
    if values.shape[1] <= MANY or np.ptp(values) < 1e-12:
        return _intervals().of(cells, bounds)
    found, mean = spread(cells, resample_targets=False), cells.estimate
    wide = float(special.stdtrit(found.df, 0.975)) * math.sqrt(found.variance)
    over = ("seeds", "requests") if len(values) > 1 else ("requests",)
    return Interval(mean, mean - wide, mean + wide, cells.n, len(values), over, "jackknife, t")


def difference(one: np.ndarray, other: np.ndarray, bounds: tuple[float, float] = (-1.0, 1.0)) -> Difference:
    """One less the other, (S, M) each, seed by seed and user by user.

    The interval is over users and seeds. The test takes the seeds as they are: it flips the signs of users' mean
    differences, of those that have one (others would change nothing).
    """
    apart = one - other
    means = apart.mean(0)
    moved = means[np.abs(means) > 1e-12]
    tested = sign_flip(moved.tolist(), rng_for("sequential", "sign flip")) if len(moved) else None
    return Difference(level(apart, bounds), tested.p if tested else None)


@cache
def _intervals() -> Intervals:
    return Intervals(lambda name: rng_for("sequential", name))

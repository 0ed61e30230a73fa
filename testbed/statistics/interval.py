"""Confidence intervals for means over a crossed layout. Coverage by simulation: docs/measures.md."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from testbed.statistics.bootstrap import RESAMPLES, distribution, weights
from testbed.statistics.cells import Array, Cells
from testbed.statistics.variance import spread

FEWEST_TARGETS = 3
"""With fewer targets a pooled interval speaks of the targets of the run and not of others like them."""
BOOTSTRAP = "hierarchical bootstrap"
CLOPPER_PEARSON = "clopper-pearson"
CONSTANT = "constant"
"""A number that is no event was the same everywhere: that bounds no mean, so there is no interval."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its interval.

    `low`, `high`: None where no interval can be given. `n`: values averaged, in `blocks` of target × seed.
    `over`: the factors that the interval generalises over, others being held fixed. `method`: how it was
    computed, or why it was not (`CONSTANT`), '' where single values say nothing of others.
    """

    estimate: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    blocks: int = 0
    over: tuple[str, ...] = ()
    method: str = ""


class Intervals:
    """Makes intervals with resampling weights that are drawn once per layout and shared by all measures.

    `rng_for`: a name → a generator; the same name gives the same stream, so tables repeat byte for byte.
    """

    def __init__(
        self,
        rng_for: Callable[[str], np.random.Generator],
        *,
        level: float = 0.95,
        resamples: int = RESAMPLES,
    ) -> None:
        self.level = level
        self._rng_for = rng_for
        self._resamples = resamples
        self._draws = lru_cache(maxsize=32)(self._draw)

    def of(
        self,
        cells: Cells,
        bounds: tuple[float, float] | None = None,
        *,
        binary: bool = False,
        floor: bool = True,
    ) -> Interval:
        """The mean of the cells with its interval, clipped to the `bounds` of single values.

        `binary`: values are events, 0 or 1, or differences of such: what never happened is bounded as a rate
        (`nothing_happened`), and rare events get a least variance (`_floor`) unless `floor` is False.
        """
        cells = cells.trimmed()
        if not cells.n:
            return Interval(None)
        over = generalises(cells)
        estimate = cells.estimate
        common = {"n": cells.n, "blocks": len(cells.targets), "over": over}
        if _constant(cells):
            if bounds is None or not binary:
                return Interval(estimate, method=CONSTANT if cells.n > 1 else "", **common)  # type: ignore[arg-type]
            low, high = nothing_happened(estimate, cells.situations, bounds, self.level)
            return Interval(estimate, low, high, method=CLOPPER_PEARSON, **common)  # type: ignore[arg-type]
        low, high = self._scaled(cells, estimate, "targets" in over, bounds if binary and floor else None)
        if bounds is not None:
            low, high = max(low, bounds[0]), min(high, bounds[1])
        return Interval(estimate, low, high, method=BOOTSTRAP, **common)  # type: ignore[arg-type]

    def _scaled(
        self, cells: Cells, estimate: float, resample_targets: bool, floor: tuple[float, float] | None
    ) -> tuple[float, float]:
        """Percentiles of the bootstrap, stretched about the estimate to the right variance and Student's t.

        The plain percentile interval has two faults with few units: it counts residual noise up to three
        times (Owen 2007), and it cannot see that 2 seeds say little about the next one. A factor mends both;
        the shape of the bootstrap distribution (its skew near 0 and 1) is kept.
        """
        from scipy import special

        draws = self._draws(cells.targets, cells.values.shape[1], cells.values.shape[2], resample_targets)
        means = distribution(cells, draws)
        sd = float(means.std())
        found = spread(cells, resample_targets=resample_targets)
        variance = found.variance if floor is None else max(found.variance, _floor(cells, floor))
        tail = (1 - self.level) / 2
        wanted = math.sqrt(variance) * float(special.stdtrit(found.df, 1 - tail))
        if sd < 1e-12:
            return estimate - wanted, estimate + wanted
        stretch = wanted / (float(special.ndtri(1 - tail)) * sd)
        low, high = np.quantile(means, [tail, 1 - tail])
        return estimate + stretch * (float(low) - estimate), estimate + stretch * (float(high) - estimate)

    def _draw(
        self, targets: tuple[int, ...], requests: int, orders: int, resample_targets: bool
    ) -> tuple[Array, Array, Array]:
        name = f"{targets}/{requests}/{orders}/{resample_targets}"
        return weights(
            targets,
            requests,
            orders,
            resample_targets=resample_targets,
            rng=self._rng_for(name),
            resamples=self._resamples,
        )


def generalises(cells: Cells) -> tuple[str, ...]:
    """The factors with enough units to be resampled: targets from 3, seeds, requests and orders from 2."""
    targets = len(set(cells.targets))
    _, requests, orders = cells.values.shape
    return tuple(
        name
        for name, enough in (
            ("targets", targets >= FEWEST_TARGETS),
            ("seeds", len(cells.targets) > targets),
            ("requests", requests > 1),
            ("orders", orders > 1),
        )
        if enough
    )


def nothing_happened(
    value: float, n: int, bounds: tuple[float, float], level: float = 0.95
) -> tuple[float, float]:
    """Interval when all n situations gave the same value: Clopper & Pearson 1934 for 0 of n, two-sided.

    At most a share u = 1 − (α/2)^(1/n) of situations gives something else, which lies within the bounds.
    0 of 300 → at most 1.2 %. It takes the situations for independent.
    """
    share = 1 - ((1 - level) / 2) ** (1 / n)
    return value - share * (value - bounds[0]), value + share * (bounds[1] - value)


def _constant(cells: Cells) -> bool:
    values = cells.values[cells.known]
    return bool(np.ptp(values) < 1e-12)


def _floor(cells: Cells, bounds: tuple[float, float]) -> float:
    """Least variance of a mean of binary values or of their differences: one more value at each bound.

    Agresti & Coull 1998 for rates, Bonett & Price 2012 for paired differences; keeps intervals of rare events
    from collapsing. Situations are counted, not seeds, because seeds share the clean ranking.
    """
    n = cells.situations
    values = cells.values[cells.known]
    low, high = bounds
    mean = (values.mean() * n + low + high) / (n + 2)
    square = ((values**2).mean() * n + low**2 + high**2) / (n + 2)
    return float(square - mean**2) / (n + 2)

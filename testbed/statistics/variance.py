"""Variance of a mean over a crossed layout, from what happens when units are left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from testbed.statistics.cells import Array, Cells


@dataclass(frozen=True, slots=True)
class Spread:
    """`variance` of the mean and the degrees of freedom that the estimate has."""

    variance: float
    df: float


def spread(cells: Cells, *, resample_targets: bool) -> Spread:
    """Variance of the mean with blocks, requests and orders as crossed random factors.

    V = V_A + V_Q + V_O − V_AQ − V_AO − V_QO + V_AQO, where V_u is the jackknife variance of interaction u.
    For complete data V_u = MS_u / N, so V is the unbiased estimate from expected mean squares (Searle,
    Casella & McCulloch 1992, ch. 4); with gaps it is a ratio estimate of the same. V is not allowed below the
    largest of V_A, V_Q, V_O, each of which is a lower bound on average. Degrees of freedom: Satterthwaite,
    1946, over the main terms. A is the target if targets are resampled, else the seed in its target.
    """
    cells = cells.trimmed()
    sums, counts, factor, df_blocks = _blocks(cells, resample_targets)
    total, count = float(np.nansum(cells.values)), float(cells.n)
    if not count:
        return Spread(0.0, 1.0)
    # Axis by axis, index 0 stands for "nothing left out", so one array holds every way of leaving out.
    gone = [np.pad(part, ((1, 0), (1, 0), (1, 0))) for part in (sums, counts)]
    for part, whole in zip(gone, _margins(cells), strict=True):
        part[0, 1:, 1:] = whole
        part[:, 0, 1:] = part[:, 1:, 1:].sum(axis=1)
        part[:, :, 0] = part[:, :, 1:].sum(axis=2)
    left = [_left_out(part, whole) for part, whole in zip(gone, (total, count), strict=True)]
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.where(left[1] > 1e-9, left[0] / left[1], total / count)
    for axis in range(3):
        means[_from(axis, 1)] -= means[_from(axis, 0)]
    scale = [factor, *((np.full(n, (n - 1) / n)) for n in cells.values.shape[1:])]
    terms: dict[tuple[bool, ...], float] = {}
    for kept in np.ndindex(2, 2, 2):
        if any(kept):
            part = means[tuple(slice(1, None) if axis else slice(0, 1) for axis in kept)] ** 2
            for axis, weight in enumerate(scale):
                if kept[axis]:
                    shape = [1, 1, 1]
                    shape[axis] = -1
                    part = part * weight.reshape(shape)
            terms[tuple(bool(axis) for axis in kept)] = float(part.sum())
    mains = [
        (terms[key], df)
        for key, df in zip(
            ((True, False, False), (False, True, False), (False, False, True)),
            (df_blocks, cells.values.shape[1] - 1, cells.values.shape[2] - 1),
            strict=True,
        )
        if df > 0
    ]
    value = sum(term if sum(key) % 2 else -term for key, term in terms.items())
    variance = max([value, *(term for term, _ in mains), 0.0])
    parts = sum(term**2 / df for term, df in mains)
    smallest = min((df for _, df in mains), default=1)
    return Spread(variance, max(variance**2 / parts, smallest) if parts > 0 else float(smallest))


def _blocks(cells: Cells, resample_targets: bool) -> tuple[Array, Array, Array, int]:
    """What leaving out each block takes from the sums and the counts, its jackknife factor, and df."""
    values, known = np.where(cells.known, cells.values, 0.0), cells.known.astype(np.float64)
    targets = np.asarray(cells.targets)
    counts = Counter(cells.targets)
    if resample_targets:
        sums = np.stack([values[targets == target].sum(axis=0) for target in counts])
        sizes = np.stack([known[targets == target].sum(axis=0) for target in counts])
        return sums, sizes, np.full(len(counts), (len(counts) - 1) / len(counts)), len(counts) - 1
    sums, sizes, factor = values.copy(), known.copy(), np.zeros(len(targets))
    for target, seeds in counts.items():
        rows = targets == target
        factor[rows] = (seeds - 1) / seeds
        for part, source in ((sums, values), (sizes, known)):
            whole = source[rows].sum(axis=0)
            # The other seeds of the target take over the weight of the one left out.
            part[rows] = (seeds * source[rows] - whole) / (seeds - 1) if seeds > 1 else 0.0
    return sums, sizes, factor, len(targets) - len(counts)


def _margins(cells: Cells) -> tuple[Array, Array]:
    """(Q, O) sums and counts over all blocks."""
    return np.where(cells.known, cells.values, 0.0).sum(axis=0), cells.known.sum(axis=0, dtype=np.float64)


def _left_out(part: Array, whole: float) -> Array:
    """What is left after leaving out a block, a request and an order, by inclusion and exclusion."""
    a, q, o = part[:, :1, :1], part[:1, :, :1], part[:1, :1, :]
    aq, ao, qo = part[:, :, :1], part[:, :1, :], part[:1, :, :]
    full = part.copy()
    for axis in range(3):
        full[_from(axis, 0)] = 0.0
    a, q, o, aq, ao, qo = (_zeroed(term) for term in (a, q, o, aq, ao, qo))
    return np.asarray(whole - a - q - o + aq + ao + qo - full)


def _zeroed(term: Array) -> Array:
    """The term with nothing taken where one of its own axes leaves nothing out."""
    term = term.copy()
    for axis, size in enumerate(term.shape):
        if size > 1:
            term[_from(axis, 0)] = 0.0
    return term


def _from(axis: int, start: int) -> tuple[slice, ...]:
    """Index of the first entry (start 0) or of all the others (start 1) along one axis."""
    chosen = [slice(None)] * 3
    chosen[axis] = slice(0, 1) if start == 0 else slice(1, None)
    return tuple(chosen)

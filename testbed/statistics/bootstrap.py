"""Hierarchical bootstrap over a crossed layout: seeds within targets, requests and orders once for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from testbed.statistics.cells import Array, Cells

RESAMPLES = 2000


def weights(
    targets: Sequence[int],
    requests: int,
    orders: int,
    *,
    resample_targets: bool,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> tuple[Array, Array, Array]:
    """How often each unit is drawn: blocks (B, A), requests (B, Q), orders (B, O).

    A request or an order that is drawn twice counts twice for every block (the pigeonhole bootstrap of Owen
    2007, doi 10.1214/07-AOAS122, with a nested factor). Targets are drawn first, then seeds within each drawn
    target; without `resample_targets` every target stays and only its seeds are drawn. A factor with one unit
    stays as it is.
    """
    request_draws = _draw(requests, resamples, rng)
    order_draws = _draw(orders, resamples, rng)
    counts = Counter(targets)
    copies = dict.fromkeys(counts, np.ones(resamples, dtype=np.int64))
    if resample_targets:
        drawn = _draw(len(counts), resamples, rng).astype(np.int64)
        copies = {target: drawn[:, column] for column, target in enumerate(counts)}
    blocks = np.empty((resamples, len(targets)))
    columns = np.asarray(targets)
    for target, seeds in counts.items():
        share = np.full(seeds, 1 / seeds)
        blocks[:, columns == target] = rng.multinomial(copies[target] * seeds, share)
    return blocks, request_draws, order_draws


def distribution(cells: Cells, draws: tuple[Array, Array, Array]) -> Array:
    """(B',) bootstrap means of the cells; resamples without a single measured value are left out."""
    total = _weighted(np.where(cells.known, cells.values, 0.0), draws)
    count = _weighted(cells.known.astype(np.float64), draws) if not cells.known.all() else None
    if count is None:
        return total / cells.values.size
    drawn = count > 0
    return total[drawn] / count[drawn]


def _draw(units: int, resamples: int, rng: np.random.Generator) -> Array:
    if units == 1:
        return np.ones((resamples, 1))
    return rng.multinomial(units, np.full(units, 1 / units), resamples).astype(np.float64)


def _weighted(values: Array, draws: tuple[Array, Array, Array]) -> Array:
    """(B,) Σ over cells of block × request × order weight × value."""
    blocks, requests, orders = draws
    count, width, depth = values.shape
    per_cell = (orders @ values.reshape(count * width, depth).T).reshape(-1, count, width)
    return np.asarray((np.einsum("baq,bq->ba", per_cell, requests) * blocks).sum(axis=1))

"""Measured values in the layout of an experiment: blocks (target × seed) × requests × orders."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class Cells:
    """`values`: (A, Q, O) by block, request, order; nan where nothing was measured.

    `targets`: (A,) index of each block's target; the blocks of one target are its attack seeds.
    """

    values: Array
    targets: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or len(self.targets) != self.values.shape[0]:
            raise ValueError(f"{self.values.shape} values for {len(self.targets)} blocks")

    @cached_property
    def known(self) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """(A, Q, O) where something was measured."""
        return ~np.isnan(self.values)

    @property
    def n(self) -> int:
        """Number of measured values."""
        return int(self.known.sum())

    @property
    def estimate(self) -> float:
        """Mean over all measured values; nan without any."""
        return float(np.nanmean(self.values)) if self.n else float("nan")

    @cached_property
    def situations(self) -> int:
        """Distinct (target, request, order) with a value; attack seeds of one situation count once."""
        indices = np.asarray(self.targets)
        return sum(int(self.known[indices == target].any(axis=0).sum()) for target in set(self.targets))

    @cached_property
    def block_means(self) -> Array:
        """(A',) mean of each block that has a value."""
        rows = self.known.any(axis=(1, 2))
        return (
            np.nanmean(self.values[rows].reshape(int(rows.sum()), -1), axis=1) if rows.any() else np.empty(0)
        )

    def _holding(self, axes: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        return np.asarray(self.known.any(axis=axes))

    def trimmed(self) -> Cells:
        """Without blocks, requests and orders that have no value at all."""
        blocks, requests, orders = (self._holding(axes) for axes in ((1, 2), (0, 2), (0, 1)))
        if blocks.all() and requests.all() and orders.all():
            return self
        kept = tuple(target for target, keep in zip(self.targets, blocks, strict=True) if keep)
        return Cells(self.values[blocks][:, requests][:, :, orders], kept)


@dataclass(frozen=True)
class Layout:
    """Where a (target, seed, request, order) stands in the cells of a run.

    When every order id belongs to one request only (orders nested in requests), orders are numbered within
    their request: nested units are exchangeable, so treating the k-th of each as one unit changes nothing on
    average and keeps the array dense.
    """

    blocks: tuple[tuple[str, int | None], ...]
    requests: tuple[str, ...]
    order_index: Mapping[tuple[str, int], int]

    @classmethod
    def of(cls, blocks: Sequence[tuple[str, int | None]], situations: Sequence[tuple[str, int]]) -> Layout:
        """The layout of some blocks over (request, order) pairs; order of first appearance is kept."""
        situations = list(dict.fromkeys(situations))
        requests = tuple(dict.fromkeys(request for request, _ in situations))
        orders = list(dict.fromkeys(order for _, order in situations))
        index: dict[tuple[str, int], int]
        if len(requests) > 1 and len(orders) == len(situations):
            counts: dict[str, int] = {}
            index = {}
            for request, order in situations:
                index[request, order] = counts.get(request, 0)
                counts[request] = index[request, order] + 1
        else:
            place = {order: position for position, order in enumerate(orders)}
            index = {situation: place[situation[1]] for situation in situations}
        return cls(tuple(dict.fromkeys(blocks)), requests, index)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(blocks, requests, orders)."""
        return len(self.blocks), len(self.requests), 1 + max(self.order_index.values(), default=-1)

    @cached_property
    def targets(self) -> tuple[int, ...]:
        """(A,) index of the target per block."""
        index: dict[Hashable, int] = {}
        return tuple(index.setdefault(target, len(index)) for target, _ in self.blocks)

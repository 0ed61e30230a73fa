"""Histories as batches of similar lengths, so that hardly anything is padded; a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from retrievers.rearec.data.split import Split

POOL = 50
"""Batches whose histories are sorted by length together."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Histories with branches. P branches in all.

    `histories`: (B, L) item numbers, padded behind. `ends`: (B, M) place of each branch's last item. `wanted`: (B, M)
    true where a branch is one. `targets`: (P,) the item behind every branch, row by row.
    """

    histories: Tensor
    ends: Tensor
    wanted: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(*(getattr(self, name).to(device) for name in ("histories", "ends", "wanted", "targets")))


def windows(split: Split, length: int) -> np.ndarray:
    """Stretches of histories to learn from: user, first item, items: (W, 3). The last item of each is a target only.

    Longer histories are cut from their end, so that the newest stretch is whole; stretches share one item.
    """
    found = []
    for user, known in enumerate(split.known.tolist()):
        end = known
        while end >= 2:
            begin = max(0, end - length - 1)
            found.append((user, begin, end - begin))
            end = begin + 1 if begin else 0
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def batches(
    split: Split,
    stretches: np.ndarray,
    tokens: int,
    branches: int | None,
    rng: np.random.Generator,
    alone: bool,
) -> Iterator[Batch]:
    """All windows once, in batches of about `tokens` positions.

    `branches`: positions of each window to learn from, drawn anew; all of them if None. `alone`: every branch is a row
    of its own that ends with it, for attention both ways.
    """
    rows = stretches[rng.permutation(len(stretches))]
    if alone:
        rows = _prefixes(rows, branches or 1, rng)
    sizes = rows[:, 2] - 1
    pool = max(1, POOL * tokens // max(1, int(sizes.mean() if len(sizes) else 1)))
    made: list[np.ndarray] = []
    for begin in range(0, len(rows), pool):
        part = rows[begin : begin + pool]
        part = part[np.argsort(part[:, 2], kind="stable")]
        first = 0
        while first < len(part):
            count = 1
            while first + count < len(part) and (part[first + count, 2] - 1) * (count + 1) <= tokens:
                count += 1
            made.append(part[first : first + count])
            first += count
    for place in rng.permutation(len(made)):
        yield _batch(split, made[place], 1 if alone else branches, rng, alone)


def _prefixes(rows: np.ndarray, branches: int, rng: np.random.Generator) -> np.ndarray:
    """Windows cut at drawn ends."""
    many = np.repeat(rows, branches, 0)
    many[:, 2] = 2 + (rng.random(len(many)) * (many[:, 2] - 1)).astype(np.int64)
    return many


def _batch(
    split: Split, rows: np.ndarray, branches: int | None, rng: np.random.Generator, alone: bool
) -> Batch:
    sizes = rows[:, 2] - 1
    length = int(sizes.max())
    histories = np.zeros((len(rows), length), dtype=np.int64)
    behind = np.zeros((len(rows), length), dtype=np.int64)
    interactions = split.interactions
    for row, (user, begin, count) in enumerate(rows.tolist()):
        start = interactions.ptr[user] + begin
        items = interactions.rows[start : start + count]
        histories[row, : count - 1], behind[row, : count - 1] = items[:-1], items[1:]
    if alone:
        ends, wanted = sizes[:, None] - 1, np.ones((len(rows), 1), dtype=bool)
    elif branches is None:
        places = np.arange(length)
        ends, wanted = np.minimum(places, sizes[:, None] - 1), places < sizes[:, None]
    else:
        most = min(branches, length)
        keys = np.where(np.arange(length) < sizes[:, None], rng.random((len(rows), length)), 2.0)
        drawn = np.argsort(keys, 1)[:, :most]
        wanted = np.take_along_axis(keys, drawn, 1) < 2
        ends = np.where(wanted, drawn, 0)
    targets = np.take_along_axis(behind, ends, 1)[wanted]
    return Batch(*map(torch.from_numpy, (histories, ends, wanted, targets)))


def known_histories(split: Split, users: np.ndarray, ends: np.ndarray, length: int) -> tuple[Tensor, Tensor]:
    """The last items of what is known of users, padded behind, (B, L), and the place of the last one, (B, 1)."""
    sizes = np.minimum(ends, length)
    found = np.zeros((len(users), int(sizes.max())), dtype=np.int64)
    for row, (user, end, size) in enumerate(zip(users, ends, sizes, strict=True)):
        found[row, :size] = split.interactions.history(user)[end - size : end]
    return torch.from_numpy(found), torch.from_numpy(sizes[:, None].astype(np.int64) - 1)

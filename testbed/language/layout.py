"""Batches of rows: blocks of rows that continue one prefix, with tree-shaped attention masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from testbed.language.rows import Prefix, Row

PADDING = 1.1
"""How much wider than its narrowest row a block may be: padding costs, and so do many small blocks."""
SMALL = 2**18
"""Bytes of a mask that is kept for the next pass. Larger ones cost little beside theirs, and hundreds much memory."""

Forked = tuple[int, int, tuple[int, ...]]
"""Where a fork leaves the trunk, its own tokens, and those of its branches."""
Shape = tuple[int, tuple[int, ...], int, int, int, tuple[int, int, int] | None, Forked | None]
"""The arguments of `_row_mask`."""


@dataclass(frozen=True, slots=True)
class Block:
    """B rows that continue one prefix, padded to one width T.

    `common`: prefix tokens that every row sees. `middle`: M, those after them that only some tokens see.
    """

    prefix: Prefix
    rows: tuple[Row, ...]
    width: int
    common: int
    middle: int

    @classmethod
    def of(cls, prefix: Prefix, rows: Sequence[Row]) -> Block:
        """A block of rows in the given order."""
        starts = [len(prefix) if row.start is None else row.start for row in rows]
        ends = [row.frozen.end if row.frozen else start for row, start in zip(rows, starts, strict=True)]
        common = min(starts)
        return cls(prefix, tuple(rows), max(row.width for row in rows), common, max(ends) - common)

    @property
    def size(self) -> int:
        """Tokens that go through the model, padding included."""
        return len(self.rows) * self.width

    def start(self, row: Row) -> int:
        """How much of the prefix a row continues."""
        return len(self.prefix) if row.start is None else row.start

    def mask(self) -> Tensor:
        """What each row sees: (B, T, M + T) bool on the CPU."""
        make = _known_mask if self.width * (self.middle + self.width) <= SMALL else _row_mask
        shapes = [self._shape(row) for row in self.rows]
        made = {shape: make(*shape) for shape in dict.fromkeys(shapes)}
        return torch.stack([made[shape] for shape in shapes])

    def _shape(self, row: Row) -> Shape:
        seen, frozen = self.start(row) - self.common, _span(row, self.common)
        fork = None
        if row.fork is not None:
            fork = row.fork.at, len(row.fork.trunk), _inner(row.fork.branches)
        return len(row.trunk), _inner(row.branches), self.width, seen, self.middle, frozen, fork

    def tokens(self) -> Tensor:
        """(B, T) token ids."""
        found = torch.zeros(len(self.rows), self.width, dtype=torch.long)
        for index, row in enumerate(self.rows):
            own = [*row.trunk, *(token for branch in row.branches for token in branch[:-1])]
            if row.fork is not None:
                own += row.fork.trunk
                own += (token for branch in row.fork.branches for token in branch[:-1])
            found[index, : len(own)] = torch.tensor(own)
        return found

    def positions(self) -> Tensor:
        """(B, T) places in the text, from 0."""
        found = torch.zeros(len(self.rows), self.width, dtype=torch.long)
        for index, row in enumerate(self.rows):
            stem, start = len(row.trunk), self.start(row)
            found[index, :stem] = torch.arange(start, start + stem)
            if row.frozen is not None:
                found[index, row.frozen.lead : stem] += row.frozen.end - start - row.frozen.lead
            column = _count_on(found[index], stem, int(found[index, stem - 1]) + 1, _inner(row.branches))
            if row.fork is not None:
                begin, length = int(found[index, row.fork.at]), len(row.fork.trunk)
                column = _count_on(found[index], column, begin, (length,))
                _count_on(found[index], column, begin + length, _inner(row.fork.branches))
        return found

    def answers(self) -> tuple[list[int], list[int]]:
        """Scored tokens, and the places in the flattened block where they are predicted."""
        wanted: list[int] = []
        where: list[int] = []
        for index, row in enumerate(self.rows):
            offset = index * self.width
            column = offset
            for trunk, branches in [(row.trunk, row.branches), *_forked(row)]:
                column += len(trunk)
                last = column - 1
                for branch in branches:
                    inner = len(branch) - 1
                    wanted += branch
                    where += [last, *range(column, column + inner)]
                    column += inner
            if row.watched is not None:
                wanted += row.trunk[slice(*row.watched)]
                where += range(offset + row.watched[0] - 1, offset + row.watched[1] - 1)
        return wanted, where

    def parts(self) -> list[list[int]]:
        """Per row, how many scored tokens each of its parts has."""
        return [
            [len(branch) for _, branches in [((), row.branches), *_forked(row)] for branch in branches]
            + ([row.watched[1] - row.watched[0]] if row.watched is not None else [])
            for row in self.rows
        ]


def _inner(branches: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(len(branch) - 1 for branch in branches)


def _forked(row: Row) -> list[tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]]:
    return [] if row.fork is None else [(row.fork.trunk, row.fork.branches)]


def _count_on(found: Tensor, column: int, begin: int, lengths: Sequence[int]) -> int:
    """Number runs of tokens that stand side by side at one place in the text; the column behind them."""
    for length in lengths:
        found[column : column + length] = torch.arange(begin, begin + length)
        column += length
    return column


def _span(row: Row, common: int) -> tuple[int, int, int] | None:
    frozen = row.frozen
    return (frozen.lead, frozen.begin - common, frozen.end - common) if frozen else None


def _row_mask(
    stem: int,
    inner: tuple[int, ...],
    width: int,
    seen: int,
    middle: int,
    frozen: tuple[int, int, int] | None,
    fork: Forked | None = None,
) -> Tensor:
    """One row's mask, (T, M + T) bool: causal along the trunk and its fork, branches beside each other."""
    own = torch.zeros(width, width, dtype=torch.bool)
    own[:stem, :stem] = True
    column = stem
    for length in inner:
        own[column : column + length, :stem] = True
        own[column : column + length, column : column + length] = True
        column += length
    if fork is not None:
        at, length, inner = fork
        begin = column
        for size in (length, *inner):
            own[column : column + size, :at] = True
            own[column : column + size, begin : begin + length] = True
            own[column : column + size, column : column + size] = True
            column += size
    own.diagonal().fill_(True)  # padding attends to itself: no empty softmax
    before = torch.zeros(width, middle, dtype=torch.bool)
    before[:, :seen] = True
    if frozen is not None:
        lead, begin, end = frozen
        before[lead:, begin:end] = True
    return torch.cat([before, own.tril()], 1)


_known_mask = lru_cache(maxsize=512)(_row_mask)


def blocks(prefix: Prefix, rows: Sequence[Row], budget: int) -> list[tuple[list[int], Block]]:
    """Rows in blocks of nearly one width and at most `budget` tokens (one row at least), with their indices."""
    order = sorted(range(len(rows)), key=lambda index: -rows[index].width)
    groups: list[list[int]] = []
    for index in order:
        widest = rows[groups[-1][0]].width if groups else 0
        fits = groups and widest * (len(groups[-1]) + 1) <= budget and widest <= rows[index].width * PADDING
        if fits:
            groups[-1].append(index)
        else:
            groups.append([index])
    return [(group, Block.of(prefix, [rows[index] for index in group])) for group in groups]

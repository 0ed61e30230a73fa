"""Rows of tokens with branches, laid out as padded batches with a tree-shaped attention mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Tokens = Sequence[int]


@dataclass(frozen=True, slots=True)
class Row:
    """A text that continues a prefix, and the continuations of it to be scored.

    `trunk` holds at least one token; each branch at least one. Branches do not see each other.
    """

    trunk: tuple[int, ...]
    branches: tuple[tuple[int, ...], ...]

    @property
    def width(self) -> int:
        """Tokens that go through the model: a branch's last token predicts nothing and stays out."""
        return len(self.trunk) + sum(len(branch) - 1 for branch in self.branches)


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows with branches laid out as one padded batch with a tree-shaped attention mask.

    `tokens`, `positions`: (B, T). `mask`: (B, T, T). `answers`: (A,) branch tokens, read at
    (`answer_rows`, `answer_columns`). `shape`: per row, the branch lengths.
    """

    tokens: Tensor
    positions: Tensor
    mask: Tensor
    answers: Tensor
    answer_rows: Tensor
    answer_columns: Tensor
    shape: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, rows: Sequence[Row], device: torch.device, jump: tuple[int, int] = (0, 0)) -> Layout:
        """Lay out rows, shorter ones padded behind. `jump`: from which trunk token positions are how much later."""
        width = max(row.width for row in rows)
        tokens = torch.zeros(len(rows), width, dtype=torch.long)
        positions = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros(len(rows), width, width, dtype=torch.bool)
        answers: list[int] = []
        where: list[tuple[int, int]] = []
        for index, row in enumerate(rows):
            stem = len(row.trunk)
            tokens[index, :stem] = torch.tensor(row.trunk)
            positions[index, :stem] = torch.arange(stem)
            positions[index, jump[0] : stem] += jump[1]
            mask[index, :stem, :stem] = True
            column = stem
            for branch in row.branches:
                inner = len(branch) - 1
                answers += branch
                where += [(index, stem - 1)] + [(index, column + i) for i in range(inner)]
                if inner:
                    own = slice(column, column + inner)
                    tokens[index, own] = torch.tensor(branch[:-1])
                    positions[index, own] = torch.arange(stem, stem + inner) + jump[1]
                    mask[index, own, :stem] = True
                    mask[index, own, own] = True
                    column += inner
            mask[index].diagonal().fill_(True)  # padding attends to itself: no empty softmax
        mask &= torch.ones(width, width, dtype=torch.bool).tril()
        spots = torch.tensor(where)
        return cls(
            tokens.to(device),
            positions.to(device),
            mask.to(device),
            torch.tensor(answers, device=device),
            spots[:, 0].to(device),
            spots[:, 1].to(device),
            tuple(tuple(len(branch) for branch in row.branches) for row in rows),
        )

    def split(self, values: Tensor) -> list[list[Tensor]]:
        """Answer values (A,) back by row and branch."""
        parts = iter(torch.split(values, [length for row in self.shape for length in row]))
        return [[next(parts) for _ in row] for row in self.shape]


def pack(rows: Sequence[Row], budget: int) -> list[list[Row]]:
    """Rows in order, cut into batches whose padded size stays within `budget` tokens (one row at least)."""
    batches: list[list[Row]] = []
    widest = 0
    for row in rows:
        widest = max(widest, row.width)
        if not batches or widest * (len(batches[-1]) + 1) > budget:
            batches.append([])
            widest = row.width
        batches[-1].append(row)
    return batches


def common_prefix(first: Tokens, second: Tokens) -> int:
    """Length of the common start of two token sequences."""
    length = min(len(first), len(second))
    for index in range(length):
        if first[index] != second[index]:
            return index
    return length

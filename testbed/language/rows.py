"""Rows: texts that continue a cached prefix, with the continuations of them that are scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

Tokens = Sequence[int]


@dataclass(frozen=True, slots=True)
class Prefix:
    """Keys and values of a run of tokens, per layer (1, kv_heads, P, d); shared by everything that continues it."""

    token_ids: tuple[int, ...] = ()
    layers: tuple[tuple[Tensor, Tensor], ...] = ()

    def __len__(self) -> int:
        return len(self.token_ids)

    def truncated(self, length: int) -> Prefix:
        """The first `length` tokens; views, nothing is copied."""
        if length >= len(self):
            return self
        if length == 0:
            return Prefix()
        layers = tuple((keys[:, :, :length], values[:, :, :length]) for keys, values in self.layers)
        return Prefix(self.token_ids[:length], layers)


@dataclass(frozen=True, slots=True)
class Frozen:
    """A stretch of the prefix that a row takes as it is, though its own tokens before it differ.

    After `lead` tokens of the trunk the row sees the prefix's tokens `begin` to `end` as well and goes on at
    position `end`.
    """

    lead: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Fork:
    """Another way on from a row's trunk, for a second question about what both have in common.

    It leaves the trunk after `at` tokens, goes on with its own, and has its own branches.
    """

    at: int
    trunk: tuple[int, ...]
    branches: tuple[tuple[int, ...], ...]

    @property
    def width(self) -> int:
        """Tokens that go through the model beside the row's own."""
        return len(self.trunk) + sum(len(branch) - 1 for branch in self.branches)


@dataclass(frozen=True, slots=True)
class Row:
    """A text that continues a prefix, and the continuations of it to be scored.

    `trunk` holds at least one token; each branch at least one. Branches do not see each other. `start`: how much of
    the prefix the row continues, all of it when None. `watched`: trunk tokens (from the second on) whose
    log-probabilities are wanted too; they come as one more part behind all branches. `fork`: another way on, whose
    branches come behind the row's own.
    """

    trunk: tuple[int, ...]
    branches: tuple[tuple[int, ...], ...]
    start: int | None = None
    frozen: Frozen | None = None
    watched: tuple[int, int] | None = None
    fork: Fork | None = None

    @property
    def width(self) -> int:
        """Tokens that go through the model: a branch's last token predicts nothing and stays out."""
        own = len(self.trunk) + sum(len(branch) - 1 for branch in self.branches)
        return own if self.fork is None else own + self.fork.width

    @property
    def shareable(self) -> tuple[int, ...]:
        """The trunk as far as a prefix may hold it, and a token more: not beyond a fork."""
        return self.trunk if self.fork is None else self.trunk[: self.fork.at + 1]

    def after(self, count: int) -> Row:
        """The row without its first `count` trunk tokens, which the prefix now holds."""
        watched = self.watched and (self.watched[0] - count, self.watched[1] - count)
        fork = self.fork and replace(self.fork, at=self.fork.at - count)
        return Row(self.trunk[count:], self.branches, None, None, watched, fork)

    def beside(self, prefix: Prefix) -> Row:
        """The row as it branches off a prefix that holds another text: what both begin with is not computed again."""
        most = len(self.shareable) - 1
        if self.watched is not None:
            most = min(most, self.watched[0] - 1)
        start = min(common_prefix(prefix.token_ids, self.trunk), most)
        cut = self.after(start)
        return replace(cut, start=start)


def common_prefix(first: Tokens, second: Tokens) -> int:
    """Length of the common start of two token sequences."""
    length = min(len(first), len(second))
    if tuple(first[:length]) == tuple(second[:length]):
        return length
    for index in range(length):
        if first[index] != second[index]:
            return index
    return length

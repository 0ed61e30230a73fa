"""Ranks of held-out items among all items, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit

from retrievers.rearec.data import Fold, Interactions
from testbed.errors import UserError

Scorer = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Scores of all items for some users, given how many of their interactions are known: (B,), (B,) → (B, n)."""
BLOCK = 256
"""Users that are scored at once."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """Rank of every user's held-out item, from 1: (M,) int64. `users`: (M,)."""

    users: np.ndarray
    ranks: np.ndarray

    def ndcg(self, cut: int) -> np.ndarray:
        """NDCG at a cut of every user, with one relevant item: (M,)."""
        return np.where(self.ranks <= cut, 1 / np.log2(1 + self.ranks), 0.0)

    def recall(self, cut: int) -> np.ndarray:
        """Recall at a cut of every user; with one relevant item that is the hit rate: (M,)."""
        return (self.ranks <= cut).astype(np.float64)

    def summary(self) -> dict[str, float]:
        """Means of the measures that papers give."""
        return {
            name: float(value.mean())
            for name, value in (
                ("NDCG@10", self.ndcg(10)),
                ("NDCG@20", self.ndcg(20)),
                ("Recall@10", self.recall(10)),
                ("Recall@20", self.recall(20)),
            )
        }


def ranks(
    scorer: Scorer,
    interactions: Interactions,
    fold: Fold,
    *,
    history: bool = False,
) -> Ranks:
    """Rank the held-out item of every user of a fold among all items.

    Items of the known history are left out, unless `history`: then they compete as well (the held-out item always
    does). UserError for scores that are no numbers.

    Equal scores are ordered by a permutation that is fixed once and for all, so that they favour nobody.
    """
    tie = np.random.default_rng(0).permutation(len(interactions.items))
    found = np.empty(len(fold), dtype=np.int64)
    for begin in range(0, len(fold), BLOCK):
        block = slice(begin, begin + BLOCK)
        users, ends, targets = fold.users[block], fold.ends[block], fold.targets[block]
        scores = np.array(scorer(users, ends), dtype=np.float32)
        if np.isnan(scores).any():
            raise UserError("a model's scores are no numbers; its training diverged: lower learning_rate")
        mine = scores[np.arange(len(users)), targets]
        if not history:
            for row, (user, end) in enumerate(zip(users, ends, strict=True)):
                scores[row, interactions.history(user)[:end]] = -np.inf
        scores[np.arange(len(users)), targets] = mine
        found[block] = 1 + _ahead(scores, targets, tie)
    return Ranks(fold.users, found)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _ahead(scores: np.ndarray, targets: np.ndarray, tie: np.ndarray) -> np.ndarray:
    """Items before the target of each row: (B, n), (B,), (n,) → (B,)."""
    found = np.zeros(len(targets), dtype=np.int64)
    for row in range(len(targets)):
        target = targets[row]
        mine, place = scores[row, target], tie[target]
        for item in range(scores.shape[1]):
            score = scores[row, item]
            found[row] += score > mine or (score == mine and tie[item] < place)
    return found

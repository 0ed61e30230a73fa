"""Where targets and held-out items stand for every user, and what changes between two worlds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrievers.rearec.data import Split

CUT = 10


@dataclass(frozen=True)
class Seen:
    """Rankings of M users in one world. Genuine histories are left out of them, inserted items are not.

    `ranks`: (T, M) rank of each target from 1, 0 where it stands in the genuine history. `held`: (M,) rank of the
    held-out item. `top`: (M, CUT) item numbers, best first.
    """

    ranks: np.ndarray
    held: np.ndarray
    top: np.ndarray


def seen(scores: np.ndarray, split: Split, users: np.ndarray, targets: Sequence[int]) -> Seen:
    """From scores (M, n) of rows `users` of the test fold. Equal scores are ordered by one fixed permutation."""
    fold, items = split.test, scores.shape[1]
    tie = np.random.default_rng(0).permutation(items)
    ranks = np.zeros((len(targets), len(users)), dtype=np.int64)
    held, top = np.zeros(len(users), dtype=np.int64), np.zeros((len(users), CUT), dtype=np.int64)
    for row, place in enumerate(users.tolist()):
        user, end, wanted = int(fold.users[place]), int(fold.ends[place]), int(fold.targets[place])
        mine = scores[row].astype(np.float64)
        known = split.interactions.history(user)[:end]
        own = mine[wanted]
        mine[known] = -np.inf
        mine[wanted] = own
        order = np.lexsort((tie, -mine))
        at = np.empty(items, dtype=np.int64)
        at[order] = np.arange(1, items + 1)
        held[row], top[row] = at[wanted], order[:CUT]
        for number, target in enumerate(targets):
            ranks[number, row] = 0 if target in known else at[target]
    return Seen(ranks, held, top)


@dataclass(frozen=True)
class Effect:
    """What an attack changed, before and after. T targets, M users.

    `before`, `after`: (T, M) ranks of the targets as in `Seen`. `held_before`, `held_after`: (T, M) ranks of held-out
    items. `kept`: (T, M) share of the clean top list that is still there.
    """

    before: np.ndarray
    after: np.ndarray
    held_before: np.ndarray
    held_after: np.ndarray
    kept: np.ndarray

    @property
    def asked(self) -> np.ndarray:
        """(T, M) where the target may be recommended at all: it is not in the genuine history."""
        return self.before > 0

    def hit(self, ranks: np.ndarray) -> np.ndarray:
        """(T, M) whether the target is in the top list; nan where it may not be."""
        return np.where(self.asked, (ranks <= CUT).astype(np.float64), np.nan)

    def exposure(self, ranks: np.ndarray) -> np.ndarray:
        """(T, M) 1 / log2(1 + rank) in the top list, 0 below it; nan where it may not be there."""
        found = np.where(ranks <= CUT, 1 / np.log2(1 + np.maximum(ranks, 1)), 0.0)
        return np.where(self.asked, found, np.nan)

    @property
    def shift(self) -> np.ndarray:
        """(T, M) places won by the target; nan where it may not be recommended."""
        return np.where(self.asked, (self.before - self.after).astype(np.float64), np.nan)

    @property
    def damage(self) -> np.ndarray:
        """(T, M) NDCG at the cut, after less before."""
        return _ndcg(self.held_after) - _ndcg(self.held_before)

    @property
    def quality(self) -> tuple[float, float]:
        """Mean NDCG at the cut, before and after."""
        return float(_ndcg(self.held_before).mean()), float(_ndcg(self.held_after).mean())

    @property
    def nothing(self) -> bool:
        """Whether no rank that counts has changed and every list is what it was."""
        same = np.array_equal(self.before, self.after) and np.array_equal(self.held_before, self.held_after)
        return same and bool((self.kept == 1).all())

    def of(
        self, targets: np.ndarray | slice = slice(None), users: np.ndarray | slice = slice(None)
    ) -> Effect:
        """The same for some targets and users."""
        return Effect(*(
            part[targets][:, users]
            for part in (self.before, self.after, self.held_before, self.held_after, self.kept)
        ))  # fmt: skip


def effect(clean: Seen, attacked: Sequence[Seen]) -> Effect:
    """One world for every target, or one for all of them. `attacked[t]` has the ranks of target t alone, or of all."""
    count = len(clean.ranks)
    several = len(attacked) > 1 or count == 1
    after = np.concatenate([one.ranks for one in attacked]) if several else attacked[0].ranks
    worlds = attacked if several else list(attacked) * count
    return Effect(
        clean.ranks,
        after,
        np.repeat(clean.held[None], count, 0),
        np.stack([one.held for one in worlds]),
        np.stack([kept(clean.top, one.top) for one in worlds]),
    )


def kept(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Share of each user's first list that is in the second: (M, k), (M, k) → (M,)."""
    return np.array(
        [len(set(a) & set(b)) / len(a) for a, b in zip(one.tolist(), other.tolist(), strict=True)]
    )


def _ndcg(ranks: np.ndarray) -> np.ndarray:
    return np.where(ranks <= CUT, 1 / np.log2(1 + ranks), 0.0)

"""Which interactions are learnt from, which are held out: leave-one-out, a moment in time, or whole users."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np

from retrievers.rearec.data.interactions import Interactions
from testbed.errors import UserError

SHORTEST = 3
"""Interactions that a user needs for a held-out item of both kinds and something to learn from."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Users that are measured: whose history ends where, and what came next.

    `users`: (M,) numbers of users. `ends`: (M,) how many of a user's interactions are known. `targets`: (M,) items.
    """

    users: np.ndarray
    ends: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True, slots=True)
class Split:
    """What is learnt from and what is measured. `known`: (U,) how many interactions of each user are learnt from."""

    interactions: Interactions
    known: np.ndarray
    validation: Fold
    test: Fold
    rule: Literal["leave-one-out", "time", "users"]

    def training(self, user: int) -> np.ndarray:
        """Items of a user that may be learnt from, oldest first."""
        return self.interactions.history(user)[: self.known[user]]


def leave_one_out(interactions: Interactions) -> Split:
    """Last item of a user for the test, the one before for validation, the rest to learn from.

    Users with fewer than three interactions are learnt from and not measured. At the test the history includes the
    validation item. Where times are known and users of later years teach about earlier ones, a warning says how
    many test items come before the last training interaction (Ji et al. 2023, arXiv 2010.11060).
    """
    lengths = interactions.lengths
    measured = np.flatnonzero(lengths >= SHORTEST)
    if not len(measured):
        raise UserError(f"no user has the {SHORTEST} interactions that leave-one-out needs")
    known = np.where(lengths >= SHORTEST, lengths - 2, lengths)
    last = interactions.ptr[measured + 1] - 1
    if interactions.times is not None:
        _warn(interactions, known, last)
    return Split(
        interactions,
        known,
        Fold(measured, lengths[measured] - 2, interactions.rows[last - 1]),
        Fold(measured, lengths[measured] - 1, interactions.rows[last]),
        "leave-one-out",
    )


def time_split(interactions: Interactions, validation: float = 0.1, test: float = 0.1) -> Split:
    """Everything before a moment to learn from, what comes after to measure: the first new item of every user.

    `validation`, `test`: shares of all interactions, the newest ones. UserError where times are not known.
    """
    times = interactions.times
    if times is None:
        raise UserError("a split by time needs timestamps, and the interactions have none; use leave-one-out")
    begin, end = np.quantile(times, [1 - validation - test, 1 - test])
    owners = np.repeat(np.arange(len(interactions)), interactions.lengths)
    known = np.bincount(owners[times < begin], minlength=len(interactions))
    seen = np.bincount(owners[times < end], minlength=len(interactions))

    def fold(before: np.ndarray, after: np.ndarray) -> Fold:
        users = np.flatnonzero((before > 0) & (after > before))
        rows = interactions.rows[interactions.ptr[users] + before[users]]
        return Fold(users, before[users], rows)

    found = fold(known, seen), fold(seen, interactions.lengths)
    if not all(map(len, found)):
        raise UserError("a split by time leaves no user to measure; take larger shares")
    return Split(interactions, known, *found, "time")


def held_out_users(interactions: Interactions, share: float = 0.1) -> Split:
    """Nothing is learnt from the last tenth of the users, who are the test, nor from the tenth before, who validate.

    Of each of them the last item is to be found, from all that come before. UserError where nobody is left.
    """
    lengths = interactions.lengths
    count = int(len(interactions) * share)
    begin, end = len(interactions) - 2 * count, len(interactions) - count

    def fold(first: int, last: int) -> Fold:
        users = first + np.flatnonzero(lengths[first:last] > 1)
        return Fold(users, lengths[users] - 1, interactions.rows[interactions.ptr[users + 1] - 1])

    found = fold(begin, end), fold(end, len(interactions))
    if not begin or not all(map(len, found)):
        raise UserError(
            "a split by users leaves nobody to measure; it needs more users with two interactions"
        )
    known = np.where(np.arange(len(interactions)) < begin, lengths, 0)
    return Split(interactions, known, *found, "users")


def _warn(interactions: Interactions, known: np.ndarray, last: np.ndarray) -> None:
    assert interactions.times is not None
    places = np.concatenate(
        [np.arange(begin, begin + count) for begin, count in zip(interactions.ptr[:-1], known, strict=True)]
    ).astype(np.int64)
    newest = interactions.times[places].max(initial=-np.inf)
    share = float(np.mean(interactions.times[last] < newest))
    if share > 0.5:
        warnings.warn(
            f"leave-one-out: {share:.0%} of the test items are older than the newest interaction that is learnt "
            "from; a split by time has no such look ahead",
            stacklevel=3,
        )

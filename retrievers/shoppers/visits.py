"""Simulated shopping sessions over a catalog: what people look at one after another, from latent preferences.

Stands for logs that our own catalogs do not have. A user prefers some attributes: for every number a direction or a
level that is just right, for every word of a text attribute or tag a liking. From item to item a user drifts: the next
one is drawn by utility and by likeness to the last, among those that were not looked at yet. Everything follows from
the seed and the user's number, so that users can be held out and a larger simulation contains a smaller one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from retrievers.shoppers.facts import Facts
from retrievers.shoppers.taste import Taste

SEED, LEARNT_FROM = 0, 6000
"""Users below this number teach default models; those from it on are for requests."""
LIKENESS = 1.5
"""Nats of utility for an item that is as the last one in all attributes, beside one as the average."""
SHORTEST, LONGEST = 4, 14
"""Items of a session; of a small catalog no more than half, but two."""


@dataclass(frozen=True)
class Visit:
    """What a user looked at, items by number, oldest first; and why."""

    user: int
    items: tuple[int, ...]
    taste: Taste


def visits(facts: Facts, users: Iterable[int], seed: int) -> list[Visit]:
    """A session of each of these users."""
    alike = facts.vectors @ facts.vectors.T
    found = []
    for user in users:
        rng = np.random.default_rng([seed, 6, user])
        taste = Taste.drawn(facts, rng)
        found.append(Visit(user, tuple(session(taste.utility(facts), alike, rng)), taste))
    return found


def session(utility: np.ndarray, alike: np.ndarray, rng: np.random.Generator) -> list[int]:
    """Items that one user looks at, oldest first, none twice. `utility`: (n,). `alike`: (n, n) likeness of items."""
    longest = min(len(utility), max(2, min(LONGEST, len(utility) // 2)))
    length = int(rng.integers(min(SHORTEST, longest), longest + 1))
    found: list[int] = []
    for _ in range(length):
        worth = utility.copy()
        if found:
            worth += LIKENESS * alike[found[-1]]
            worth[found] = -np.inf
        shares = np.exp(worth - worth.max()).cumsum()
        found.append(int(np.searchsorted(shares, rng.random() * shares[-1], side="right")))
    return found

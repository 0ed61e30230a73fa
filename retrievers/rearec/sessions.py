"""Simulated shopping sessions over a catalog: what people look at one after another, from latent preferences.

Stands for logs that our own catalogs do not have. A user prefers some attributes: for every number a direction or a
level that is just right, for every word of a text attribute or tag a liking. From item to item a user drifts: the next
one is drawn by utility, by likeness to the last, and never repeats the last. Everything follows from the seed and
the user's number, so that users can be held out and a larger simulation contains a smaller one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from retrievers.rearec.data import Interactions
from testbed.types import Attribute

if TYPE_CHECKING:
    from testbed.catalog import Catalog

SHARPNESS = 2.5
"""Nats of utility for a standard deviation of preference."""
LIKENESS = 1.5
"""Nats of utility for an item that is as the last one in all attributes, beside one as the average."""
SHORTEST, LONGEST = 4, 14
"""Items of a session."""
IDEAL = 0.4
"""Share of numbers of which a user wants a level, not the most or the least."""


@dataclass(frozen=True)
class Facts:
    """Attributes of n items as numbers. `levels`: (n, a) from −1 to 1, mid-ranks. `words`: (n, w) 0 or 1."""

    levels: np.ndarray
    words: np.ndarray

    @classmethod
    def of(cls, catalog: Catalog) -> Facts:
        """Numbers by mid-rank, missing ones in the middle; texts and tags by their words, flags as words."""
        names = sorted({name for facts in catalog.attributes for name in facts})
        levels, words = [], []
        for name in names:
            values = [facts.get(name) for facts in catalog.attributes]
            if all(
                isinstance(value, (int, float)) and not isinstance(value, bool)
                for value in values
                if value is not None
            ):
                levels.append(_mid_ranks(values))
                continue
            said = [set(str(value).lower().split()) if value is not None else set() for value in values]
            words += [[float(word in one) for one in said] for word in sorted(set().union(*said))]
        count = len(catalog)
        return cls(np.array(levels).reshape(-1, count).T, np.array(words).reshape(-1, count).T)

    @property
    def vectors(self) -> np.ndarray:
        """Both kinds together, centred, of length 1: (n, a + w)."""
        both = np.concatenate([self.levels, self.words], 1)
        both = both - both.mean(0)
        return np.asarray(both / np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-9))


def simulated(catalog: Catalog, users: int, seed: int) -> Interactions:
    """Sessions of so many users, as interactions with the items' texts."""
    facts = Facts.of(catalog)
    alike = facts.vectors @ facts.vectors.T
    histories = [session(facts, alike, np.random.default_rng([seed, 6, user])) for user in range(users)]
    texts = ["\n".join(catalog.fields(item).values()) for item in catalog.ids]
    return Interactions.of([f"u{user}" for user in range(users)], list(catalog.ids), histories, texts=texts)


def session(facts: Facts, alike: np.ndarray, rng: np.random.Generator) -> list[int]:
    """Items that one user looks at, oldest first. `alike`: (n, n) likeness of items."""
    utility = SHARPNESS * _standard(_utility(facts, rng))
    length = int(rng.integers(SHORTEST, LONGEST + 1))
    found: list[int] = []
    for _ in range(length):
        worth = utility.copy()
        if found:
            worth = worth + LIKENESS * alike[found[-1]]
            worth[found[-1]] = -np.inf
            worth[found] -= 1.0
        worth = np.exp(worth - worth.max())
        found.append(int(rng.choice(len(worth), p=worth / worth.sum())))
    return found


def _utility(facts: Facts, rng: np.random.Generator) -> np.ndarray:
    """(n,) from what a user cares about: about half of the numbers, some of the words."""
    count, words = facts.levels.shape[1], facts.words.shape[1]
    cares = rng.random(count) < 0.5
    ideal, way = rng.random(count) < IDEAL, rng.choice([-1.0, 1.0], count)
    level = rng.uniform(-1, 1, count)
    numbers = np.where(ideal, -np.abs(facts.levels - level), way * facts.levels)
    likes = rng.normal(size=words) * (rng.random(words) < 0.3)
    return np.asarray((numbers * cares * rng.exponential(size=count)).sum(1) + facts.words @ likes)


def _standard(values: np.ndarray) -> np.ndarray:
    return np.asarray((values - values.mean()) / max(1e-9, float(values.std())))


def _mid_ranks(values: Sequence[Attribute | None]) -> list[float]:
    """From −1 to 1; a missing value is 0."""
    numbers = np.array([np.nan if value is None else float(value) for value in values])
    have = numbers[~np.isnan(numbers)]
    found = np.zeros(len(numbers))
    for row in np.flatnonzero(~np.isnan(numbers)):
        below, same = np.sum(have < numbers[row]), np.sum(have == numbers[row])
        found[row] = 2 * (below + (same - 1) / 2) / max(1, len(have) - 1) - 1
    return [float(value) for value in found]

"""Simulated shopping sessions over a catalog: what people look at one after another, from latent preferences.

Stands for logs that our own catalogs do not have. A user prefers some attributes: for every number a direction or a
level that is just right, for every word of a text attribute or tag a liking. From item to item a user drifts: the next
one is drawn by utility and by likeness to the last, among those that were not looked at yet. Everything follows from
the seed and the user's number, so that users can be held out and a larger simulation contains a smaller one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from retrievers.rearec.data import Interactions
from testbed.types import Attribute

if TYPE_CHECKING:
    from testbed.catalog import Catalog

SEED, LEARNT_FROM = 0, 6000
"""Users below this number teach default models; those from it on are for requests."""
SHARPNESS = 2.5
"""Nats of utility for a standard deviation of preference."""
LIKENESS = 1.5
"""Nats of utility for an item that is as the last one in all attributes, beside one as the average."""
SHORTEST, LONGEST = 4, 14
"""Items of a session; of a small catalog no more than half, but two."""
IDEAL = 0.4
"""Share of numbers of which a user wants a level, not the most or the least."""


@dataclass(frozen=True)
class Facts:
    """Attributes of n items as numbers. `levels`: (n, a) from −1 to 1, mid-ranks. `words`: (n, w) 0 or 1.

    `numbers`: what the a numbers are called. `terms`: the w words, a flag by its name.
    """

    levels: np.ndarray
    words: np.ndarray
    numbers: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()

    @classmethod
    def of(cls, catalog: Catalog) -> Facts:
        """Numbers by mid-rank, missing ones in the middle; texts and tags by their words, flags as words."""
        names = sorted({name for facts in catalog.attributes for name in facts})
        levels, words = [], []
        numbers, terms = list[str](), list[str]()
        for name in names:
            values = [facts.get(name) for facts in catalog.attributes]
            if all(
                isinstance(value, (int, float)) and not isinstance(value, bool)
                for value in values
                if value is not None
            ):
                levels.append(_mid_ranks(values))
                numbers.append(name)
                continue
            said = [set(str(value).lower().split()) if value is not None else set() for value in values]
            for word in sorted(set().union(*said)):
                words.append([float(word in one) for one in said])
                terms.append({"true": name, "false": f"not {name}"}.get(word, word))
        count = len(catalog)
        return cls(
            np.array(levels, dtype=np.float64).reshape(-1, count).T,
            np.array(words, dtype=np.float64).reshape(-1, count).T,
            tuple(numbers),
            tuple(terms),
        )

    @property
    def vectors(self) -> np.ndarray:
        """Both kinds together, centred, of length 1: (n, a + w)."""
        both = np.concatenate([self.levels, self.words], 1)
        both = both - both.mean(0)
        return np.asarray(both / np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-9))


@dataclass(frozen=True)
class Taste:
    """What a user cares about. `weights`: (a,) of the numbers, 0 for most. `likes`: (w,) of the words, 0 for most.

    Of a number the user wants much (`way` 1), little (−1), or, where `ideal`, what is near `level`: (a,) each.
    """

    weights: np.ndarray
    ideal: np.ndarray
    way: np.ndarray
    level: np.ndarray
    likes: np.ndarray

    @classmethod
    def drawn(cls, facts: Facts, rng: np.random.Generator) -> Taste:
        """About half of the numbers, some of the words."""
        count, words = int(facts.levels.shape[1]), int(facts.words.shape[1])
        cares = rng.random(count) < 0.5
        ideal, way = rng.random(count) < IDEAL, rng.choice([-1.0, 1.0], count)
        level = rng.uniform(-1, 1, count)
        weights = cares * rng.exponential(size=count)
        likes = np.asarray(rng.normal(size=words) * (rng.random(words) < 0.3))
        return cls(weights, ideal, way, level, likes)

    def utility(self, facts: Facts) -> np.ndarray:
        """What each item is worth to the user, in nats: (n,)."""
        near = -np.abs(facts.levels - self.level)
        numbers = np.where(self.ideal, near, self.way * facts.levels) @ self.weights
        return SHARPNESS * _standard(numbers + facts.words @ self.likes)

    def told(self, facts: Facts, most: int = 3) -> str:
        """The numbers and words that matter most, in words: `low price, high rating; travel`; '' for nothing."""
        ways = np.where(self.ideal, np.where(np.abs(self.level) < 1 / 3, 0, np.sign(self.level)), self.way)
        names = {1: "high", 0: "medium", -1: "low"}
        numbers = [f"{names[int(ways[row])]} {facts.numbers[row]}" for row in _largest(self.weights, most)]
        words = [facts.terms[row] for row in _largest(self.likes, most)]
        return "; ".join(filter(None, (", ".join(numbers), ", ".join(words)))).replace("_", " ")


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


def simulated(
    catalog: Catalog, users: int, seed: int, *, first: int = 0, texts: Sequence[str] | None = None
) -> Interactions:
    """Sessions of so many users from number `first` on. `texts`: of the items; all of their fields if None."""
    if texts is None:
        texts = ["\n".join(catalog.fields(item).values()) for item in catalog.ids]
    found = visits(Facts.of(catalog), range(first, first + users), seed)
    names = [f"u{visit.user}" for visit in found]
    return Interactions.of(names, list(catalog.ids), [visit.items for visit in found], texts=texts)


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


def _largest(values: np.ndarray, most: int) -> list[int]:
    """Rows of the largest values above 0, largest first."""
    return [int(row) for row in np.argsort(-values, kind="stable")[:most] if values[row] > 0]


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

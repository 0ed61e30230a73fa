"""What a simulated shopper cares about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retrievers.shoppers.facts import Facts

SHARPNESS = 2.5
"""Nats of utility for a standard deviation of preference."""
IDEAL = 0.4
"""Share of numbers of which a user wants a level, not the most or the least."""


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


def _largest(values: np.ndarray, most: int) -> list[int]:
    """Rows of the largest values above 0, largest first."""
    return [int(row) for row in np.argsort(-values, kind="stable")[:most] if values[row] > 0]


def _standard(values: np.ndarray) -> np.ndarray:
    return np.asarray((values - values.mean()) / max(1e-9, float(values.std())))

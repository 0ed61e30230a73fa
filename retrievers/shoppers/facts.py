"""Attributes of a catalog's items as numbers, which tastes are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from testbed.types import Attribute

if TYPE_CHECKING:
    from testbed.catalog import Catalog


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


def _mid_ranks(values: Sequence[Attribute | None]) -> list[float]:
    """From −1 to 1; a missing value is 0."""
    numbers = np.array([np.nan if value is None else float(value) for value in values])
    have = numbers[~np.isnan(numbers)]
    found = np.zeros(len(numbers))
    for row in np.flatnonzero(~np.isnan(numbers)):
        below, same = np.sum(have < numbers[row]), np.sum(have == numbers[row])
        found[row] = 2 * (below + (same - 1) / 2) / max(1, len(have) - 1) - 1
    return [float(value) for value in found]

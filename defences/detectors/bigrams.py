"""An interpolated bigram model of token sequences (Witten & Bell 1991)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Bigrams:
    """p(t | h) = (c(h t) + d(h) · p(t)) / (c(h) + d(h)), p(t) = (c(t) + d / V) / (c + d); d counts different ones."""

    pairs: Mapping[int, Counter[int]]
    single: Counter[int]
    vocabulary: int

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]], vocabulary: int) -> Bigrams:
        """Count the tokens of texts."""
        pairs: dict[int, Counter[int]] = defaultdict(Counter)
        single: Counter[int] = Counter()
        for text in texts:
            single.update(text)
            for before, token in pairwise(text):
                pairs[before][token] += 1
        return cls(dict(pairs), single, vocabulary)

    def losses(self, text: Sequence[int]) -> np.ndarray:
        """Negative log-likelihood of every token but the first, nats: (len(text) − 1,) float64."""
        found = [self.probability(token, before) for before, token in pairwise(text)]
        return -np.log(np.asarray(found, dtype=np.float64))

    def probability(self, token: int, before: int) -> float:
        """p(token | before), above 0 for every token of the vocabulary."""
        kinds = max(1, len(self.single))
        alone = (self.single[token] + kinds / self.vocabulary) / (self.single.total() + kinds)
        follow = self.pairs.get(before)
        if follow is None:
            return alone
        return (follow[token] + len(follow) * alone) / (follow.total() + len(follow))

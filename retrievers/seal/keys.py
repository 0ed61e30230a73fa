"""Keys: n-grams that stand for a query, with their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SMOOTHING = 5.0
"""Added to counts, so that a rare n-gram's frequency is not taken at its word (paper, section 3.2)."""


@dataclass(frozen=True, slots=True)
class Keys:
    """K n-grams of one query.

    `log_probs`: log P(n | q), (K,) float64, nan where no model was asked. `counts`: F(n), (K,).
    A title begins with `START` and ends with `END` (see the index).
    """

    ngrams: tuple[tuple[int, ...], ...]
    log_probs: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.ngrams)

    @classmethod
    def of(cls, ngrams: Sequence[tuple[int, ...]], log_probs: Sequence[float], counts: np.ndarray) -> Keys:
        """Keys that occur in the corpus; of several of the same n-gram the likeliest."""
        best: dict[tuple[int, ...], int] = {}
        for row, ngram in enumerate(ngrams):
            if counts[row] > 0 and (ngram not in best or log_probs[row] > log_probs[best[ngram]]):
                best[ngram] = row
        rows = list(best.values())
        return cls(tuple(best), np.array([log_probs[row] for row in rows], dtype=np.float64), counts[rows])

    def take(self, rows: np.ndarray) -> Keys:
        """Some of them, in the given order."""
        return Keys(tuple(self.ngrams[row] for row in rows), self.log_probs[rows], self.counts[rows])

    def weights(self, tokens: int) -> np.ndarray:
        """w(n, q) of every key in a corpus of so many tokens: (K,) float64."""
        return weights(self.log_probs, self.counts, tokens)


def weights(log_probs: np.ndarray, counts: np.ndarray, tokens: int) -> np.ndarray:
    """How much likelier n-grams are for the query than in the corpus: log odds ratio, at least 0.

    w(n, q) = max(0, log P(n|q) (1 − P(n)) / (P(n) (1 − P(n|q)))), P(n) = (F(n) + 5) / (N + 5) (paper,
    equations 3 and 4). Where `log_probs` is nan, for want of a model, P(n|q) is taken as even odds.
    """
    share = (counts + SMOOTHING) / (tokens + SMOOTHING)
    share = np.minimum(share, 1 - 1e-12)
    likely = np.minimum(log_probs, -1e-12)
    odds = np.where(np.isnan(likely), 0.0, likely - np.log(-np.expm1(likely)))
    return np.asarray(np.maximum(0.0, odds + np.log1p(-share) - np.log(share)))


def copied(log_probs: np.ndarray, share: float) -> np.ndarray:
    """log P(n|q) of n-grams of the query itself, where a share of what is written copies the query: (n,) float64.

    P'(n|q) = share + (1 − share) P(n|q), as in a pointer network (See et al. 2017, arXiv 1704.04368). A share of 0
    leaves all to the model, as the paper does; with one of 0.5, odds are what they are without a model, or better.
    """
    if share <= 0:
        return log_probs
    return np.asarray(np.logaddexp(np.log(share), np.log1p(-share) + log_probs))

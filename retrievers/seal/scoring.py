"""Scores of documents from the keys that occur in them: the paper's three ways (section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from retrievers.seal import coverage
from retrievers.seal.index import Places
from retrievers.seal.index.protocol import Index
from retrievers.seal.keys import Keys

Singles = tuple[np.ndarray, np.ndarray]
"""Token ids, and the weight of each."""
NO_SINGLES: Singles = (np.zeros(0, dtype=np.int64), np.zeros(0))
Way = Literal["lm", "lm_fm", "intersective"]
ABSENT = {"lm": -100.0, "lm_fm": 0.0, "intersective": 0.0}
"""Score of a listing that holds none of the n-grams."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """How documents are scored. `alpha`, `beta`: equation 5. `rare`: most occurrences of a key that finds candidates.

    `candidates`: documents that are scored with all keys and single tokens.
    """

    way: Way = "intersective"
    alpha: float = 2.0
    beta: float = 0.8
    rare: int = 1500
    candidates: int = 1500


@dataclass(frozen=True, slots=True)
class Found:
    """Documents with a key, best first. `rows`, `scores`: (n,). `reasons`: per document, keys and what each adds.

    `singles`: per document, what single tokens add together; zeros but for intersective scores.
    """

    rows: np.ndarray
    scores: np.ndarray
    reasons: Sequence[Sequence[tuple[int, float]]] = ()
    singles: np.ndarray = field(default_factory=lambda: np.zeros(0))


def scored(index: Index, keys: Keys, singles: Singles, scoring: Scoring) -> Found:
    """Score every document that holds a key. `singles`: weight of single tokens, for intersective scores."""
    weights = keys.weights(index.tokens)
    if scoring.way == "intersective":
        return _intersective(index, keys, weights, singles, scoring)
    worth = weights if scoring.way == "lm_fm" else keys.log_probs
    places = index.places(keys.ngrams)
    return _best_key(places, worth)


def _best_key(places: Places, worth: np.ndarray) -> Found:
    """A document is worth its best key."""
    owners = np.repeat(np.arange(len(worth)), np.diff(places.ptr))
    order = np.lexsort((owners, -worth[owners], places.documents))
    documents, owners = places.documents[order], owners[order]
    first = np.flatnonzero(np.r_[True, documents[1:] != documents[:-1]]) if len(documents) else order
    rows, best = documents[first], owners[first]
    scores = worth[best]
    ranked = np.lexsort((rows, -scores))
    reasons = [[(int(best[at]), float(scores[at]))] for at in ranked]
    return Found(rows[ranked].astype(np.int64), scores[ranked], reasons, np.zeros(len(rows)))


def _intersective(
    index: Index,
    keys: Keys,
    weights: np.ndarray,
    singles: Singles,
    scoring: Scoring,
) -> Found:
    """W(d, q) = Σ over K(d) of w^α · cover (equation 5), for the best candidates that rare keys find."""
    order = np.lexsort((np.arange(len(keys)), -weights))
    order = order[weights[order] > 0]
    keys, worth = keys.take(order), weights[order] ** scoring.alpha
    rare = np.flatnonzero(keys.counts <= scoring.rare)
    cover = coverage.Cover.of(keys.ngrams, worth, scoring.beta)
    places = index.places([keys.ngrams[key] for key in rare])
    rows = np.unique(places.documents).astype(np.int64)
    held = coverage.Held.of(rows, places, rare)
    if len(rows) > scoring.candidates:
        scores, _, _ = cover(coverage.Texts.of(index, rows), held, NO_SINGLES)
        rows = np.sort(rows[np.lexsort((rows, -scores))[: scoring.candidates]])
        held = held.only(rows)
    found = coverage.Texts.of(index, rows)
    held = held.with_scanned(found, keys.ngrams, np.flatnonzero(keys.counts > scoring.rare))
    scores, gains, alone = cover(found, held, (singles[0], singles[1] ** scoring.alpha))
    ranked = np.lexsort((rows, -scores))
    ranked = ranked[scores[ranked] > 0]
    reasons = coverage.Reasons(held, ranked, gains, order)
    return Found(rows[ranked], scores[ranked], reasons, alone[ranked])

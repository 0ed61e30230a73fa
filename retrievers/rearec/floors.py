"""What a sequential model has to beat: popularity, first-order Markov, item neighbours, EASE."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy import sparse

from retrievers.rearec.data import Split
from retrievers.rearec.evaluation import Scorer
from testbed.errors import UserError

DECAY = 0.8
"""Weight of an item in a history next to the one after it, for neighbours."""
LARGEST = 2**31
"""Bytes that EASE's dense matrix may take."""


def popularity(split: Split) -> Scorer:
    """How often an item was chosen in what is learnt from."""
    counts = np.bincount(_learnt(split)[1], minlength=len(split.interactions.items)).astype(np.float64)
    return lambda users, ends: np.repeat(counts[None], len(users), 0)


def markov(split: Split) -> Scorer:
    """How often an item followed the last one; popularity breaks ties (Rendle et al. 2010, unfactored)."""
    owners, rows = _learnt(split)
    count = len(split.interactions.items)
    follows = owners[1:] == owners[:-1]
    pairs = (np.ones(int(follows.sum())), (rows[:-1][follows], rows[1:][follows]))
    table = sparse.csr_array(pairs, shape=(count, count))
    shares = np.bincount(rows, minlength=count) / (len(rows) + 1)

    def scorer(users: np.ndarray, ends: np.ndarray) -> np.ndarray:
        last = split.interactions.rows[split.interactions.ptr[users] + ends - 1]
        return np.asarray(table[last].toarray() + shares)

    return scorer


def neighbours(split: Split, decay: float = DECAY) -> Scorer:
    """Cosine of items by their users, summed over the history, recent items most (item-kNN; Sarwar et al. 2001)."""
    known = _matrix(split)
    norms = np.sqrt(np.maximum(known.sum(0), 1))
    scaled = known @ sparse.diags_array(1 / norms)
    alike = (scaled.T @ scaled).tocsr()
    alike.setdiag(0)
    return lambda users, ends: np.asarray((_recent(split, users, ends, decay) @ alike).toarray())


def ease(split: Split, penalty: float = 100.0) -> Scorer:
    """Item to item weights in closed form (Steck 2019, arXiv 1905.03375). UserError where they do not fit memory."""
    count = len(split.interactions.items)
    if 8 * count * count > LARGEST:
        raise UserError(f"EASE on {count:,} items needs {8 * count * count / 2**30:.1f} GiB; leave it out")
    known = _matrix(split)
    gram = (known.T @ known).toarray() + penalty * np.eye(count)
    inverse = np.linalg.inv(gram)
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return lambda users, ends: np.asarray(_recent(split, users, ends, 1.0) @ weights)


FLOORS: Mapping[str, Callable[[Split], Scorer]] = {
    "popularity": popularity,
    "Markov": markov,
    "item-kNN": neighbours,
    "EASE": ease,
}


def _learnt(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """User and item of every interaction that may be learnt from, in order."""
    interactions = split.interactions
    owners = np.repeat(np.arange(len(interactions)), interactions.lengths)
    places = np.arange(len(interactions.rows)) - interactions.ptr[owners]
    kept = places < split.known[owners]
    return owners[kept], interactions.rows[kept]


def _matrix(split: Split) -> sparse.csr_array:
    """Users × items, 1 where an item is in what is learnt from."""
    owners, rows = _learnt(split)
    shape = (len(split.interactions), len(split.interactions.items))
    found = sparse.csr_array((np.ones(len(rows)), (owners, rows)), shape=shape)
    found.data[:] = 1
    return found


def _recent(split: Split, users: np.ndarray, ends: np.ndarray, decay: float) -> sparse.csr_array:
    """Users × items, decay^age of every known item."""
    rows, columns, values = [], [], []
    for row, (user, end) in enumerate(zip(users, ends, strict=True)):
        items = split.interactions.history(user)[:end]
        rows.append(np.full(len(items), row))
        columns.append(items)
        values.append(decay ** np.arange(len(items))[::-1])
    shape = (len(users), len(split.interactions.items))
    places = (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_array((np.concatenate(values), places), shape=shape)

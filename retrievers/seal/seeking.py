"""What the retriever looks for, as text that somebody could write into a listing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from retrievers.seal import queries
from retrievers.seal.decoding import Search, generate
from retrievers.seal.keys import Keys, copied
from retrievers.seal.scoring import ABSENT
from testbed.protocols import Piece, Sought

if TYPE_CHECKING:
    from retrievers.seal.asking import Asker, Reader
    from retrievers.seal.index.protocol import Index

Pairs = list[tuple[tuple[int, ...], float]]
"""N-grams with log P(n | q), nan where no model is asked."""


def wished(
    index: Index,
    asker: Asker | None,
    search: Search,
    query: str,
    own: Sequence[tuple[int, ...]],
    copying: float = 0.0,
) -> Pairs:
    """N-grams that stand for a query whether the corpus has them or not: the model's, and `own` of the query.

    `copying`: see `keys.copied`.
    """
    if asker is None:
        return [(ngram, np.nan) for ngram in own]
    (tree,) = asker.trees([(query, False)])
    free = replace(search, constrained=False, unseen=True)
    (made,) = generate(asker.model, index, [tree], [False], asker.ends, free)
    (values,) = queries.forced(asker.model, [tree], [own])
    ends = set(asker.ends)  # where a text ends it is not gone on with, and some are no text at all
    made = [(ngram, value) for ngram, value in made if not ends.intersection(ngram)]
    return [*made, *zip(own, copied(values, copying).tolist(), strict=True)]


def pieces(index: Index, reader: Reader, known: Keys, wished: Pairs, way: str, alpha: float) -> Sought:
    """Keys as text: those that are read as themselves between blanks, with what each adds to a score.

    Counted as if one more listing held each: F(n) + 1. `way`, `alpha`: see `scoring.Scoring`.
    """
    best = dict(zip(known.ngrams, known.log_probs.tolist(), strict=True))
    for ngram, value in wished:
        if ngram not in best or value > best[ngram]:
            best[ngram] = value
    ngrams = [ngram for ngram in best if min(ngram) >= 0]  # marks are no text
    texts = [" ".join(reader.decode(ngram).split()) for ngram in ngrams]
    again = reader.encode_many([f" {text}" for text in texts])
    whole = [
        (text, ngram)
        for text, ngram, ids in zip(texts, ngrams, again, strict=True)
        if text and text.isprintable() and tuple(ids) == ngram
    ]
    counts = index.counts([ngram for _, ngram in whole])
    keys = Keys(
        tuple(ngram for _, ngram in whole),
        np.array([best[ngram] for _, ngram in whole], dtype=np.float64),
        counts + 1,
    )
    worth = _worth(keys, index.tokens, way, alpha)
    found = [
        Piece(text, float(value), bool(count))
        for (text, _), value, count in zip(whole, worth, counts, strict=True)
        if value > 0
    ]
    return Sought(tuple(sorted(found, key=lambda piece: -piece.weight)), summed=way == "intersective")


def _worth(keys: Keys, tokens: int, way: str, alpha: float) -> np.ndarray:
    """What each key adds to a listing that holds nothing else, (K,)."""
    if way == "lm":
        return keys.log_probs - ABSENT["lm"]
    weights = keys.weights(tokens)
    return weights**alpha if way == "intersective" else weights

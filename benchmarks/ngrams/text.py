"""Texts to index, as token ids. Imported by workers in foreign environments too, hence nothing but numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TYPES = 50_000
PHRASED = 0.25
"""Share of draws that are phrases instead of single tokens."""


@dataclass(frozen=True)
class Corpus:
    """D documents behind each other. `tokens`: (n,) uint16 below 65,535; `starts`: (D + 1,) where documents begin."""

    tokens: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.tokens)

    def documents(self) -> Iterator[tuple[None, np.ndarray]]:
        """What an index is built of: no title, and the body."""
        for begin, end in zip(self.starts[:-1], self.starts[1:], strict=True):
            yield None, self.tokens[begin:end]

    def sample(self, count: int, depth: int, rng: np.random.Generator) -> list[list[int]]:
        """N-grams that stand at places drawn evenly, so that frequent ones come often."""
        found: list[list[int]] = []
        while len(found) < count:
            places = rng.integers(0, len(self), 2 * count)
            ends = self.starts[np.searchsorted(self.starts, places, side="right")]
            inside = places[places + depth <= ends][: count - len(found)]
            found += self.tokens[inside[:, None] + np.arange(depth)].tolist()
        return found

    def save(self, path: Path) -> None:
        """Write `path`, a .npz file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, tokens=self.tokens, starts=self.starts)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Corpus:
        """What `save` wrote."""
        with np.load(path) as file:
            return cls(file["tokens"], file["starts"])


def of(documents: list[list[int]]) -> Corpus:
    """Documents that are given."""
    starts = np.cumsum([0, *map(len, documents)])
    return Corpus(np.array([token for document in documents for token in document], dtype=np.uint16), starts)


def zipfian(tokens: int, seed: int = 0, types: int = TYPES) -> Corpus:
    """Documents of 100 to 300 tokens. Tokens are drawn by Zipf's law, a quarter of the draws are phrases from a book.

    The book has a phrase of 2 to 12 tokens for every 20 tokens of text; frequent ones come often, with the exponent
    0.8. That gives n-grams about as many occurrences and continuations as abstracts have (docs/ngram-index.md).
    """
    rng = np.random.default_rng([seed, tokens])
    token, count = _by_rank(types, 2.7, 1.0), max(1, tokens // 20)
    lengths = np.minimum(1 + rng.geometric(0.45, count), 12)
    book = np.concatenate([np.arange(types), token(int(lengths.sum()), rng)]).astype(np.uint16)
    begins = np.concatenate([np.arange(types), types + np.cumsum(lengths) - lengths])
    widths = np.concatenate([np.ones(types, dtype=np.int64), lengths])
    phrase = _by_rank(count, 10, 0.8)
    parts: list[np.ndarray] = []
    missing = tokens
    while missing > 0:
        draws = token(min(missing, 2**22), rng)
        phrased = rng.random(len(draws)) < PHRASED
        draws[phrased] = types + phrase(int(phrased.sum()), rng)
        wide = widths[draws]
        inside = np.arange(wide.sum()) - np.repeat(np.cumsum(wide) - wide, wide)
        parts.append(book[np.repeat(begins[draws], wide) + inside][:missing])
        missing -= len(parts[-1])
    cuts = np.cumsum(rng.integers(100, 301, tokens // 100 + 1))
    return Corpus(np.concatenate(parts), np.concatenate([[0], cuts[cuts < tokens], [tokens]]))


def _by_rank(size: int, shift: float, exponent: float) -> Callable[[int, np.random.Generator], np.ndarray]:
    """Draws from 0 to `size`: the chance falls with (rank + shift) to the exponent."""
    edges = np.cumsum((np.arange(size) + shift) ** -exponent)
    edges /= edges[-1]
    return lambda count, rng: np.searchsorted(edges, rng.random(count)).clip(max=size - 1)

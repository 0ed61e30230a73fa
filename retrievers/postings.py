"""Word counts of a catalog and BM25 over them, exact under edits of a few documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Formula:
    """A BM25 variant in the notation of Kamphuis et al. (ECIR 2020, table 1).

    score(q, d) = Σ over words t of q: idf(t) · tfc(t, d), words of q that repeat counted again.
    """

    method: str = "lucene"
    k1: float = 1.5
    b: float = 0.75

    def idf(self, documents: int, containing: int) -> float:
        """Weight of a word that `containing` ≥ 1 of `documents` documents hold; never negative."""
        odds = (documents - containing + 0.5) / (containing + 0.5)
        match self.method:
            case "lucene":
                return float(np.log1p(odds))
            case "robertson":
                return float(np.log(max(odds, 1.0)))
            case "atire":
                return float(np.log(documents / containing))
        raise ValueError(f"no BM25 variant is called {self.method!r}")

    def tfc(self, counts: np.ndarray, lengths: np.ndarray, mean: float) -> np.ndarray:
        """Weight of a word's `counts` in documents of `lengths` words, (n,) float64.

        `mean`: words per document.
        """
        scale = self.k1 * (1 - self.b + self.b * lengths / mean)
        gain = self.k1 + 1 if self.method == "atire" else 1.0
        return np.asarray(counts * gain / (counts + scale), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Postings:
    """Which documents hold which word how often: columns of a sparse matrix.

    `rows`, `counts`: (occurrences,) sorted by word; word w owns `starts[w]:starts[w + 1]`. `lengths`: (n,)
    words per document, stop words left out. `vocabulary`: word → w.
    """

    vocabulary: Mapping[str, int]
    starts: np.ndarray
    rows: np.ndarray
    counts: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, texts: Iterable[str], stopwords: bool) -> Postings:
        """Count the words of texts, a few thousand at a time."""
        vocabulary: dict[str, int] = {}
        words_, rows_, counts_, lengths = [], [], [], []
        row = 0
        for documents in chunks(texts):
            held: list[int] = []
            owners: list[int] = []
            times: list[int] = []
            for words in tokenized(documents, stopwords):
                counted = Counter(words)
                held += [vocabulary.setdefault(word, len(vocabulary)) for word in counted]
                owners += [row] * len(counted)
                times += counted.values()
                lengths.append(len(words))
                row += 1
            words_.append(np.array(held, dtype=np.int32))
            rows_.append(np.array(owners, dtype=np.int32))
            counts_.append(np.array(times, dtype=np.int32))
        by_word, rows, counts = (
            np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
            for parts in (words_, rows_, counts_)
        )
        order = np.argsort(by_word, kind="stable")
        starts = np.concatenate(([0], np.cumsum(np.bincount(by_word, minlength=len(vocabulary)))))
        return cls(vocabulary, starts, rows[order], counts[order], np.array(lengths, dtype=np.int64))

    def holding(self, word: str) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the documents that hold a word, ascending, and how often: two (df,) int32."""
        index = self.vocabulary.get(word)
        if index is None:
            return self.rows[:0], self.counts[:0]
        span = slice(self.starts[index], self.starts[index + 1])
        return self.rows[span], self.counts[span]


@dataclass(frozen=True)
class Corpus:
    """Postings with some documents replaced (row → word counts); the statistics follow."""

    postings: Postings
    replaced: Mapping[int, Counter[str]] = field(default_factory=dict)

    def scores(self, query: Sequence[str], formula: Formula) -> np.ndarray:
        """BM25 of every document for the words of a query, (n,) float64."""
        lengths = self.postings.lengths
        if self.replaced:
            lengths = lengths.copy()
            for row, counted in self.replaced.items():
                lengths[row] = counted.total()
        total = np.zeros(len(lengths))
        mean = float(lengths.sum() / len(lengths)) if len(lengths) else 0.0
        for word, times in Counter(query).items():
            rows, counts = self.holding(word)
            if len(rows):
                weight = times * formula.idf(len(lengths), len(rows))
                total[rows] += weight * formula.tfc(counts, lengths[rows], mean)
        return total

    def holding(self, word: str) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the documents that hold a word, and how often, replaced ones last."""
        rows, counts = self.postings.holding(word)
        if not self.replaced:
            return rows, counts
        own = {row: counted[word] for row, counted in self.replaced.items() if counted[word]}
        keep = ~np.isin(rows, list(self.replaced))
        return (
            np.concatenate((rows[keep], np.array(list(own), dtype=np.int32))),
            np.concatenate((counts[keep], np.array(list(own.values()), dtype=np.int32))),
        )


def tokenized(texts: Sequence[str], stopwords: bool) -> list[list[str]]:
    """Lower-case words of two letters or digits and more, as bm25s cuts them."""
    import bm25s

    if not texts:
        return []
    words: list[list[str]] = bm25s.tokenize(
        list(texts), stopwords="english" if stopwords else [], return_ids=False, show_progress=False
    )
    return words


def chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts in lists of at most CHUNK."""
    texts = iter(texts)
    while part := list(islice(texts, CHUNK)):
        yield part

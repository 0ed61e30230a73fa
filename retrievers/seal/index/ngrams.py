"""All n-grams of a corpus: how often they occur, how they go on, where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from retrievers.seal.index import kernels
from retrievers.seal.index.arrays import DEEPEST, END, FIRST, START, TITLE, Arrays, Document, Progress
from retrievers.seal.index.arrays import build as build_arrays

if TYPE_CHECKING:
    from retrievers.seal.index.edited import EditedIndex


@dataclass(frozen=True, slots=True)
class Beams:
    """B n-grams as ranges of suffixes: `lo`, `hi`, `depth`, each (B,) int64. An empty range: it does not occur."""

    lo: np.ndarray
    hi: np.ndarray
    depth: np.ndarray

    def __len__(self) -> int:
        return len(self.lo)

    @property
    def counts(self) -> np.ndarray:
        """How often each occurs: (B,) int64."""
        return np.asarray(np.maximum(self.hi - self.lo, 0))

    def take(self, rows: np.ndarray) -> Beams:
        """Some of them, in the given order."""
        return Beams(self.lo[rows], self.hi[rows], self.depth[rows])


@dataclass(frozen=True, slots=True)
class Children:
    """Distinct next tokens of every beam. Beam b owns `ptr[b]` to `ptr[b + 1]` of the other arrays.

    `tokens`: (n,) int32 in ascending order, marks first. `counts`: (n,) int32. `begins`: (n,) int32 where their
    ranges begin. `depth`: (B,) tokens of the beams.
    """

    ptr: np.ndarray
    tokens: np.ndarray
    counts: np.ndarray
    begins: np.ndarray
    depth: np.ndarray

    @property
    def owners(self) -> np.ndarray:
        """Beam of every child: (n,)."""
        return owners(self.ptr)

    @property
    def beams(self) -> Beams:
        """The n-grams of all children."""
        return self.take(np.arange(len(self.tokens)))

    def take(self, rows: np.ndarray) -> Beams:
        """The n-grams of some children; made when wanted, as a search goes on with few of them."""
        lo = self.begins[rows].astype(np.int64)
        depth = self.depth[np.searchsorted(self.ptr, rows, side="right") - 1] + 1
        return Beams(lo, lo + self.counts[rows], depth)

    def best(self, scores: np.ndarray, k: int) -> np.ndarray:
        """Places of each beam's k children with the highest scores, best first, -1 where there are fewer: (B, k).

        `scores`: (B, V + 2) by token id; the last two columns are those of `END` and `START`. Children
        with -inf are left out.
        """
        return best(self.ptr, self.tokens, scores, k)


def owners(ptr: np.ndarray) -> np.ndarray:
    """Row of every entry of a CSR layout."""
    return np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))


def spread(begins: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """CSR form of runs that begin at `begins`: pointers (n + 1,), and the places of all entries."""
    ptr = np.concatenate([[0], np.cumsum(lengths)])
    return ptr, np.arange(ptr[-1]) + np.repeat(begins - ptr[:-1], lengths)


def best(ptr: np.ndarray, tokens: np.ndarray, scores: np.ndarray, k: int) -> np.ndarray:
    """See `Children.best`; ValueError for scores of a smaller vocabulary or of other beams."""
    last = int(tokens.max(initial=-1))
    if len(scores) != len(ptr) - 1 or scores.shape[1] - 2 <= last:
        raise ValueError(f"scores are for {scores.shape[1] - 2} tokens, the corpus has token {last}")
    found: np.ndarray = kernels.best(ptr, tokens, scores, k)
    return found


@dataclass(frozen=True, slots=True)
class Places:
    """Where n-grams stand. N-gram b owns `ptr[b]` to `ptr[b + 1]` of `documents` and `offsets`, (n,) int32 both.

    An offset counts tokens from the document's start, marks included.
    """

    ptr: np.ndarray
    documents: np.ndarray
    offsets: np.ndarray


class NgramIndex:
    """N-grams of up to 254 tokens of a corpus, by suffix array and common prefixes (Kasai et al. 2001).

    N-grams do not run across the borders of documents or from a title into its body. A title is found as an
    n-gram that begins with `START` and ends with `END`.
    """

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays

    @classmethod
    def build(
        cls,
        documents: Iterable[Document],
        *,
        bigrams: bool = True,
        tell: Progress = lambda what, documents: None,
    ) -> NgramIndex:
        """Index documents (title or None, body), both token ids. About 9 bytes a token; 7 without `bigrams`.

        `bigrams`: keep a table of all pairs, so that what follows a frequent token need not be searched.
        """
        return cls(build_arrays(documents, bigrams=bigrams, tell=tell))

    @property
    def documents(self) -> int:
        """Number of documents."""
        return len(self.arrays.documents) - 1

    @cached_property
    def tokens(self) -> int:
        """Number of tokens, marks left out."""
        return int(len(self.arrays.text) - self.arrays.first[FIRST])

    @cached_property
    def unigrams(self) -> tuple[np.ndarray, np.ndarray]:
        """Token ids that occur, ascending, and how often: (T,) int32, (T,) int64."""
        return self.arrays.alphabet[FIRST:], np.diff(self.arrays.first[FIRST:])

    def root(self, beams: int = 1) -> Beams:
        """Empty n-grams, from which anything that occurs may follow."""
        zeros = np.zeros(beams, dtype=np.int64)
        return Beams(zeros, np.full(beams, len(self.arrays.text), dtype=np.int64), zeros.copy())

    def titles(self, beams: int = 1) -> Beams:
        """The place before a title, from which titles follow."""
        low, high = self.arrays.first[TITLE : TITLE + 2]
        return Beams(*(np.full(beams, value, dtype=np.int64) for value in (low, high, 1)))

    def extend(self, beams: Beams, tokens: Sequence[int] | np.ndarray) -> Beams:
        """Every beam with one more token each."""
        arrays = self.arrays
        lo, hi, depth = beams.lo.copy(), beams.hi.copy(), beams.depth.copy()
        if len(beams) and depth.max() >= DEEPEST:
            raise ValueError(f"n-grams have at most {DEEPEST} tokens")
        kernels.narrowed(
            arrays.text,
            arrays.suffixes,
            arrays.first,
            arrays.pairs,
            arrays.follower,
            arrays.follower_at,
            lo,
            hi,
            depth,
            self._codes(tokens),
        )
        return Beams(lo, hi, depth)

    def find(self, ngrams: Sequence[Sequence[int]]) -> Beams:
        """Any n-grams, by their tokens; titles begin with `START` and may end with `END`."""
        beams = self.root(len(ngrams))
        for place in range(max(map(len, ngrams), default=0)):
            rows = np.array([row for row, ngram in enumerate(ngrams) if len(ngram) > place])
            longer = self.extend(beams.take(rows), [ngrams[row][place] for row in rows])
            beams.lo[rows], beams.hi[rows], beams.depth[rows] = longer.lo, longer.hi, longer.depth
        return beams

    def children(self, beams: Beams) -> Children:
        """How every beam goes on."""
        arrays = self.arrays
        ptr, tokens, begins, counts = kernels.opened(
            arrays.text,
            arrays.suffixes,
            arrays.shared,
            arrays.lowest,
            arrays.alphabet,
            arrays.first,
            arrays.pairs,
            arrays.follower,
            arrays.follower_at,
            beams.lo,
            beams.hi,
            beams.depth,
        )
        return Children(ptr, tokens, counts, begins, beams.depth)

    def locate(self, beams: Beams) -> Places:
        """All places where the beams' n-grams stand."""
        return Places(*kernels.located(self.arrays.suffixes, self.arrays.documents, beams.lo, beams.hi))

    def counts(self, ngrams: Sequence[Sequence[int]]) -> np.ndarray:
        """How often n-grams occur: (n,) int64."""
        return self.find(ngrams).counts

    def places(self, ngrams: Sequence[Sequence[int]]) -> Places:
        """Where n-grams stand."""
        return self.locate(self.find(ngrams))

    def document(self, row: int) -> np.ndarray:
        """Tokens of a document with its marks, but for the one at its end: (n,) int32."""
        begin, end = self.arrays.documents[row : row + 2]
        return np.asarray(self.arrays.alphabet[self.arrays.text[begin : end - 1]])

    def texts(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of documents as `document` gives them, in CSR form: (n + 1,), (tokens,) int32."""
        begins, ends = self.arrays.documents[rows], self.arrays.documents[rows + 1] - 1
        ptr, places = spread(begins, ends - begins)
        return ptr, self.arrays.alphabet[self.arrays.text[places]]

    def with_edits(self, edits: dict[int, Document]) -> EditedIndex:
        """The index with some documents replaced, row by row; costs these documents only."""
        from retrievers.seal.index.edited import EditedIndex

        return EditedIndex.of(self, edits)

    def _codes(self, tokens: Sequence[int] | np.ndarray) -> np.ndarray:
        """Codes of tokens, -1 for tokens that do not occur."""
        wanted, alphabet = np.asarray(tokens, dtype=np.int64), self.arrays.alphabet
        place = FIRST + np.searchsorted(alphabet[FIRST:], wanted)
        known = alphabet[np.minimum(place, len(alphabet) - 1)] == wanted
        codes = np.where((wanted >= 0) & known, place, -1)
        codes[wanted == START], codes[wanted == END] = TITLE, TITLE + 1
        return codes

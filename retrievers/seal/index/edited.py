"""An n-gram index in which some documents have another text, without a rebuild."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from retrievers.seal.index.arrays import END, START, Document
from retrievers.seal.index.ngrams import Beams, NgramIndex, Places, best, owners, spread


@dataclass(frozen=True, slots=True)
class EditedBeams:
    """The same n-grams in the whole corpus, in the old texts that are gone, and in the new ones."""

    base: Beams
    gone: Beams
    new: Beams

    def __len__(self) -> int:
        return len(self.base)

    @property
    def counts(self) -> np.ndarray:
        """How often each occurs: (B,) int64."""
        return np.asarray(self.base.counts - self.gone.counts + self.new.counts)

    @property
    def depth(self) -> np.ndarray:
        """Tokens of each: (B,)."""
        return self.base.depth

    def take(self, rows: np.ndarray) -> EditedBeams:
        """Some of them, in the given order."""
        return EditedBeams(self.base.take(rows), self.gone.take(rows), self.new.take(rows))


@dataclass(frozen=True, slots=True)
class EditedChildren:
    """Like `Children`, over the edited corpus."""

    ptr: np.ndarray
    tokens: np.ndarray
    counts: np.ndarray
    beams: EditedBeams

    @property
    def owners(self) -> np.ndarray:
        """Beam of every child: (n,)."""
        return owners(self.ptr)

    def take(self, rows: np.ndarray) -> EditedBeams:
        """The n-grams of some children."""
        return self.beams.take(rows)

    def best(self, scores: np.ndarray, k: int) -> np.ndarray:
        """See `Children.best`."""
        return best(self.ptr, self.tokens, scores, k)


@dataclass(frozen=True)
class EditedIndex:
    """An index, the index of what is gone from it, and that of what came in its place. Answers like a rebuilt one.

    `rows`: the documents concerned, in the order of `gone` and `new`.
    """

    base: NgramIndex
    gone: NgramIndex
    new: NgramIndex
    rows: np.ndarray

    @classmethod
    def of(cls, base: NgramIndex, edits: Mapping[int, Document]) -> EditedIndex:
        """Replace documents by row."""
        rows = np.array(sorted(edits), dtype=np.int64)
        old = [_split(base.document(int(row))) for row in rows]
        new = [edits[int(row)] for row in rows]
        return cls(base, NgramIndex.build(old, bigrams=False), NgramIndex.build(new, bigrams=False), rows)

    @property
    def documents(self) -> int:
        """Number of documents."""
        return self.base.documents

    @property
    def tokens(self) -> int:
        """Number of tokens, marks left out."""
        return self.base.tokens - self.gone.tokens + self.new.tokens

    @cached_property
    def unigrams(self) -> tuple[np.ndarray, np.ndarray]:
        """Token ids that occur, ascending, and how often."""
        parts = self.base.unigrams, self.gone.unigrams, self.new.unigrams
        tokens = np.unique(np.concatenate([tokens for tokens, _ in parts]))
        counts = np.zeros(len(tokens), dtype=np.int64)
        for (own, times), sign in zip(parts, (1, -1, 1), strict=True):
            counts[np.searchsorted(tokens, own)] += sign * times
        return tokens[counts > 0], counts[counts > 0]

    def root(self, beams: int = 1) -> EditedBeams:
        """Empty n-grams."""
        return EditedBeams(self.base.root(beams), self.gone.root(beams), self.new.root(beams))

    def titles(self, beams: int = 1) -> EditedBeams:
        """The place before a title."""
        return EditedBeams(self.base.titles(beams), self.gone.titles(beams), self.new.titles(beams))

    def extend(self, beams: EditedBeams, tokens: Sequence[int] | np.ndarray) -> EditedBeams:
        """Every beam with one more token each."""
        return EditedBeams(
            self.base.extend(beams.base, tokens),
            self.gone.extend(beams.gone, tokens),
            self.new.extend(beams.new, tokens),
        )

    def find(self, ngrams: Sequence[Sequence[int]]) -> EditedBeams:
        """Any n-grams, by their tokens."""
        return EditedBeams(self.base.find(ngrams), self.gone.find(ngrams), self.new.find(ngrams))

    def children(self, beams: EditedBeams) -> EditedChildren:
        """How every beam goes on."""
        base, new = self.base.children(beams.base), self.new.children(beams.new)
        width = np.int64(2**32)
        keys = [made.owners * width + made.tokens + 2**31 for made in (base, new)]
        merged = np.union1d(*keys)
        owners, tokens = merged // width, (merged % width - 2**31).astype(np.int32)
        parts = []
        for made, own in ((base, keys[0]), (new, keys[1])):
            empty = np.zeros(len(merged), dtype=np.int64)
            beam = Beams(empty, empty.copy(), beams.depth[owners] + 1)
            place = np.searchsorted(merged, own)
            beam.lo[place], beam.hi[place] = made.beams.lo, made.beams.hi
            parts.append(beam)
        gone = self.gone.extend(beams.gone.take(owners), tokens)
        found = EditedBeams(parts[0], gone, parts[1])
        counts = found.counts
        there = np.flatnonzero(counts > 0)
        ptr = np.searchsorted(owners[there], np.arange(len(beams) + 1))
        return EditedChildren(ptr, tokens[there], counts[there].astype(np.int32), found.take(there))

    def locate(self, beams: EditedBeams) -> Places:
        """All places where the beams' n-grams stand."""
        base, new = self.base.locate(beams.base), self.new.locate(beams.new)
        kept = np.flatnonzero(~np.isin(base.documents, self.rows))
        owners = [np.repeat(np.arange(len(beams)), np.diff(places.ptr)) for places in (base, new)]
        owner = np.concatenate([owners[0][kept], owners[1]])
        order = np.argsort(owner, kind="stable")
        documents = np.concatenate([base.documents[kept], self.rows[new.documents]]).astype(np.int32)
        offsets = np.concatenate([base.offsets[kept], new.offsets])
        ptr = np.searchsorted(owner[order], np.arange(len(beams) + 1))
        return Places(ptr, documents[order], offsets[order])

    def counts(self, ngrams: Sequence[Sequence[int]]) -> np.ndarray:
        """How often n-grams occur: (n,) int64."""
        return self.find(ngrams).counts

    def places(self, ngrams: Sequence[Sequence[int]]) -> Places:
        """Where n-grams stand."""
        return self.locate(self.find(ngrams))

    def document(self, row: int) -> np.ndarray:
        """Tokens of a document with its marks, but for the one at its end."""
        at = int(np.searchsorted(self.rows, row))
        if at < len(self.rows) and self.rows[at] == row:
            return self.new.document(at)
        return self.base.document(row)

    def texts(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `NgramIndex.texts`."""
        edited = np.isin(rows, self.rows)
        kept, kept_tokens = self.base.texts(rows[~edited])
        new, new_tokens = self.new.texts(np.searchsorted(self.rows, rows[edited]))
        begins, lengths = np.empty((2, len(rows)), dtype=np.int64)
        begins[~edited], begins[edited] = kept[:-1], new[:-1] + len(kept_tokens)
        lengths[~edited], lengths[edited] = np.diff(kept), np.diff(new)
        ptr, places = spread(begins, lengths)
        return ptr, np.concatenate([kept_tokens, new_tokens])[places]

    def with_edits(self, edits: Mapping[int, Document]) -> EditedIndex:
        """The index with more documents replaced."""
        earlier = {int(row): _split(self.new.document(at)) for at, row in enumerate(self.rows)}
        return EditedIndex.of(self.base, earlier | dict(edits))


def _split(tokens: np.ndarray) -> Document:
    """Title and body of a document's tokens with marks."""
    if not len(tokens) or tokens[0] != START:
        return None, tokens
    end = int(np.flatnonzero(tokens == END)[0])
    return tokens[1:end], tokens[end + 1 :]

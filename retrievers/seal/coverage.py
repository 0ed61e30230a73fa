"""Which keys count for a document: greedily by weight, without overlap, discounted for tokens counted before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np

from retrievers.seal.index.arrays import END
from retrievers.seal.index.kernels import compiled
from retrievers.seal.index.ngrams import Places, owners
from retrievers.seal.index.protocol import Index


@dataclass(frozen=True, slots=True)
class Texts:
    """Tokens of D documents: document d owns `ptr[d]` to `ptr[d + 1]` of `tokens`. Marks are negative."""

    ptr: np.ndarray
    tokens: np.ndarray

    @classmethod
    def of(cls, index: Index, rows: np.ndarray) -> Texts:
        """The given documents of an index."""
        return cls(*index.texts(rows))


@dataclass(frozen=True, slots=True)
class Held:
    """Occurrences of keys by document, key and offset. Document d owns `ptr[d]` to `ptr[d + 1]`.

    `keys`, `offsets`: (n,). `rows`: (D,) the documents.
    """

    rows: np.ndarray
    ptr: np.ndarray
    keys: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, places: Places, keys: np.ndarray) -> Held:
        """Occurrences in the given (sorted) documents. `keys`: key of every n-gram that was located."""
        documents, key = np.searchsorted(rows, places.documents), keys[owners(places.ptr)]
        return cls._sorted(rows, documents, key, places.offsets)

    @classmethod
    def _sorted(cls, rows: np.ndarray, documents: np.ndarray, keys: np.ndarray, offsets: np.ndarray) -> Held:
        order = np.lexsort((offsets, keys, documents))
        ptr = np.searchsorted(documents[order], np.arange(len(rows) + 1))
        return cls(rows, ptr, keys[order], offsets[order].astype(np.int64))

    def only(self, rows: np.ndarray) -> Held:
        """What is in some of the documents, sorted as well."""
        mine = owners(self.ptr)
        kept = np.isin(self.rows[mine], rows)
        documents = np.searchsorted(rows, self.rows[mine[kept]])
        return self._sorted(rows, documents, self.keys[kept], self.offsets[kept])

    def with_scanned(self, texts: Texts, ngrams: Sequence[tuple[int, ...]], keys: np.ndarray) -> Held:
        """With the occurrences of more keys, which are looked for in the texts themselves."""
        if not len(keys):
            return self
        keys = keys[np.argsort([ngrams[key][0] for key in keys], kind="stable")]
        wanted, ptr = _flat([ngrams[key] for key in keys])
        size = 1 + max(int(texts.tokens.max(initial=0)), int(wanted.max()))
        starting = np.searchsorted(wanted[ptr[:-1]], np.arange(END, size + 1))
        documents, found, offsets = _scan(texts.ptr, texts.tokens, ptr, wanted, starting)
        return self._sorted(
            self.rows,
            np.concatenate([owners(self.ptr), documents]),
            np.concatenate([self.keys, keys[found]]),
            np.concatenate([self.offsets, offsets]),
        )


@dataclass(frozen=True, slots=True)
class Reasons(Sequence[list[tuple[int, float]]]):
    """Per document, keys that count with what each adds, most first; written out when somebody looks.

    `documents`: those of `held`, in the order wanted. `gains`: what each occurrence adds. `names`: of the keys.
    """

    held: Held
    documents: np.ndarray
    gains: np.ndarray
    names: np.ndarray

    def __len__(self) -> int:
        return len(self.documents)

    @overload
    def __getitem__(self, at: int) -> list[tuple[int, float]]: ...
    @overload
    def __getitem__(self, at: slice) -> Reasons: ...
    def __getitem__(self, at: int | slice) -> list[tuple[int, float]] | Reasons:
        if isinstance(at, slice):
            return replace(self, documents=self.documents[at])
        document = self.documents[at]
        span = slice(self.held.ptr[document], self.held.ptr[document + 1])
        pairs = zip(self.held.keys[span].tolist(), self.gains[span].tolist(), strict=True)
        found = [(int(self.names[key]), gain) for key, gain in pairs if gain > 0]
        return sorted(found, key=lambda pair: -pair[1])


@dataclass(frozen=True, slots=True)
class Cover:
    """Keys, best first, with their weights to the power of alpha; calling it scores documents."""

    tokens: np.ndarray
    ptr: np.ndarray
    worth: np.ndarray
    beta: float

    @classmethod
    def of(cls, ngrams: Sequence[tuple[int, ...]], worth: np.ndarray, beta: float) -> Cover:
        """For keys in descending order of weight."""
        return cls(*_flat(ngrams), worth, beta)

    def __call__(
        self, texts: Texts, held: Held, singles: tuple[np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scores (D,), what each occurrence adds (n,), and what single tokens add (D,).

        `singles`: token ids, and weights to the power of alpha, of tokens that count where no key stands.
        """
        tokens, weights = singles
        single = np.zeros(1 + max(int(ids.max(initial=0)) for ids in (texts.tokens, self.tokens, tokens)))
        single[tokens] = weights
        found: tuple[np.ndarray, np.ndarray, np.ndarray] = _cover(
            texts.ptr, texts.tokens, held.ptr, held.keys, held.offsets,
            self.ptr, self.tokens, self.worth, self.beta, single,
        )  # fmt: skip
        return found


def _flat(ngrams: Sequence[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    tokens = np.array([token for ngram in ngrams for token in ngram], dtype=np.int64)
    return tokens, np.cumsum([0, *map(len, ngrams)], dtype=np.int64)


@compiled
def _cover(
    text_ptr: np.ndarray,
    text: np.ndarray,
    held_ptr: np.ndarray,
    keys: np.ndarray,
    offsets: np.ndarray,
    key_ptr: np.ndarray,
    key_tokens: np.ndarray,
    worth: np.ndarray,
    beta: float,
    single: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    documents = len(text_ptr) - 1
    scores, alone = np.zeros(documents), np.zeros(documents)
    gains = np.zeros(len(keys))
    counted = np.full(len(single), -1, dtype=np.int64)  # the last document in which a key had the token
    alone_in = counted.copy()  # the last document in which it counted alone
    for document in range(documents):
        begin = text_ptr[document]
        taken = np.zeros(text_ptr[document + 1] - begin, dtype=np.bool_)
        at, end = held_ptr[document], held_ptr[document + 1]
        while at < end:
            key, first = keys[at], -1
            low, high = key_ptr[key], key_ptr[key + 1]
            while at < end and keys[at] == key:  # a key takes all of its places that are free
                free = True
                for place in range(offsets[at], offsets[at] + high - low):
                    free = free and not taken[place]
                if free:
                    taken[offsets[at] : offsets[at] + high - low] = True
                    if first < 0:
                        first = at
                at += 1
            if first < 0:
                continue
            kinds, fresh = 0, 0
            for place in range(low, high):
                token = key_tokens[place]
                repeated = token < 0
                for other in range(low, place):
                    repeated = repeated or key_tokens[other] == token
                if not repeated:
                    kinds += 1
                    fresh += counted[token] != document
            for place in range(low, high):
                if key_tokens[place] >= 0:
                    counted[key_tokens[place]] = document
            gains[first] = worth[key] * (1 - beta + (beta * fresh / kinds if kinds else 0.0))
            scores[document] += gains[first]
        for place in range(len(taken)):
            token = text[begin + place]
            if token >= 0 and not taken[place] and single[token] > 0 and alone_in[token] != document:
                alone_in[token] = document
                alone[document] += single[token] * (1.0 if counted[token] != document else 1 - beta)
        scores[document] += alone[document]
    return scores, gains, alone


@compiled
def _scan(
    text_ptr: np.ndarray,
    text: np.ndarray,
    key_ptr: np.ndarray,
    key_tokens: np.ndarray,
    starting: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Document, key and offset of every occurrence of every key. At a place only keys with its token are tried:
    those that begin with token t are `starting[t - END]` to `starting[t - END + 1]`.
    """
    found = [(0, 0, 0)]
    for document in range(len(text_ptr) - 1):
        begin, end = text_ptr[document], text_ptr[document + 1]
        for place in range(begin, end):
            first = text[place] - END
            for key in range(starting[first], starting[first + 1]):
                low, length = key_ptr[key], key_ptr[key + 1] - key_ptr[key]
                same = place + length <= end
                step = 1
                while same and step < length:
                    same = text[place + step] == key_tokens[low + step]
                    step += 1
                if same:
                    found.append((document, key, place - begin))
    result = np.array(found[1:]) if len(found) > 1 else np.zeros((0, 3), dtype=np.int64)
    return result[:, 0].copy(), result[:, 1].copy(), result[:, 2].copy()

"""The arrays behind an n-gram index and how they are built from documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from retrievers.seal.index import kernels
from testbed.errors import UserError

START, END = -1, -2
"""Stand for the place before a title and the place behind it where token ids are wanted."""
BORDER, TITLE, TITLE_END, FIRST = range(4)
"""Codes: the end of a document, the place before its title, the place behind it, the first token."""
DEEPEST = 254
"""Longest n-gram: common prefixes are counted up to 255."""
BLOCK = 64
"""Common prefixes that share a minimum."""

Tokens = Sequence[int] | np.ndarray
Document = tuple[Tokens | None, Tokens]
"""Title, if there is one, and body, as token ids."""
Progress = Callable[[str, int], None]
"""Is told what is being done and how many documents are read."""


@dataclass(frozen=True, slots=True)
class Arrays:
    """A suffix array with what makes its ranges quick to open. n codes, T types with the three marks, D documents.

    `text`: (n,) codes, uint16 or uint32: dense numbers of the tokens, in the tokens' order, behind three marks. A
    document is `1 title 2 body 0`, or `body 0`. `suffixes`: (n,) int32, sorted. `shared`: (n,) uint8, tokens that a
    suffix shares with the one before, at most 255. `lowest`: minima of `shared` over blocks of 64. `alphabet`: (T,)
    int32 token ids. `first`: (T + 1,) where the suffixes of a code begin. `pairs`: (T + 1,) where a code's followers
    begin in `follower` and `follower_at`, the followers' codes and where their suffixes begin; empty without a bigram
    table. `documents`: (D + 1,) where documents begin in the text.
    """

    text: np.ndarray
    suffixes: np.ndarray
    shared: np.ndarray
    lowest: np.ndarray
    alphabet: np.ndarray
    first: np.ndarray
    pairs: np.ndarray
    follower: np.ndarray
    follower_at: np.ndarray
    documents: np.ndarray

    def __post_init__(self) -> None:
        for entry in fields(self):
            getattr(self, entry.name).flags.writeable = False

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(getattr(self, entry.name).nbytes for entry in fields(self))


def build(documents: Iterable[Document], *, bigrams: bool, tell: Progress) -> Arrays:
    """Sort the suffixes of the documents' tokens. UserError for token ids that are negative, or too many tokens."""
    tokens, starts = _flattened(documents, tell)
    tell("sorting", len(starts) - 1)
    alphabet, text = _coded(tokens)
    width = 2 if len(alphabet) <= 2**16 else 3
    if len(text) * width >= 2**31:
        raise UserError(
            f"an index holds fewer than {2**31 // width:,} tokens, got {len(text):,}; split the corpus"
        )
    suffixes = _sorted(text, width)
    shared = kernels.common_prefixes(text, suffixes)
    edges = np.arange(0, len(text), BLOCK)
    lowest = np.minimum.reduceat(shared, edges) if len(text) else shared
    first = np.zeros(len(alphabet) + 1, dtype=np.int64)
    np.cumsum(np.bincount(text, minlength=len(alphabet)), out=first[1:])
    pairs, follower, follower_at = _pairs(text, suffixes, shared, first, bigrams)
    return Arrays(
        text, suffixes, shared, lowest, alphabet, first, pairs, follower, follower_at, np.asarray(starts)
    )


def _flattened(documents: Iterable[Document], tell: Progress) -> tuple[np.ndarray, np.ndarray]:
    """All documents behind each other, marks as -1 (before a title), -2 (behind it) and -3 (end): (n,), (D + 1,)."""
    parts, starts, size = [], [0], 0
    for number, (title, body) in enumerate(documents, start=1):
        found = [] if title is None else [[START], title, [END]]
        part = np.concatenate([np.asarray(tokens, dtype=np.int64) for tokens in (*found, body, [-3])])
        inner = part[1 if title is not None else 0 : -1]
        if title is not None:
            inner = np.delete(inner, len(title))
        if len(inner) and (inner.min() < 0 or inner.max() >= 2**31 - FIRST):
            raise UserError(f"document {number}: holds {inner.min()}, which is no token id")
        parts.append(part.astype(np.int32))
        size += len(part)
        starts.append(size)
        if number % 1000 == 0:
            tell("reading", number)
    tokens = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
    return tokens, np.array(starts, dtype=np.int64)


def _coded(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Alphabet and codes. Marks are -3, -1, -2 in the order of their codes."""
    own = tokens[tokens >= 0]
    types = np.flatnonzero(np.bincount(own)) if len(own) else np.zeros(0, dtype=np.int64)
    alphabet = np.concatenate([[-3, START, END], types]).astype(np.int32)
    code = np.zeros((int(types[-1]) if len(types) else 0) + 4, dtype=np.uint32)
    code[types] = np.arange(FIRST, len(alphabet))
    code[-3], code[START], code[END] = BORDER, TITLE, TITLE_END
    return alphabet, code[tokens].astype(np.uint16 if len(alphabet) <= 2**16 else np.uint32)


def _sorted(text: np.ndarray, width: int) -> np.ndarray:
    """Suffix array, (n,) int32: that of the codes' big-endian bytes, without the suffixes inside a code."""
    from pydivsufsort import divsufsort

    if not len(text):
        return np.zeros(0, dtype=np.int32)
    octets = text.astype(">u4").view(np.uint8).reshape(-1, 4)[:, 4 - width :]
    return kernels.whole(divsufsort(np.ascontiguousarray(octets).reshape(-1)), width)


def _pairs(
    text: np.ndarray, suffixes: np.ndarray, shared: np.ndarray, first: np.ndarray, bigrams: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The followers of every code, as the places where a suffix shares at most one token with the one before."""
    if not bigrams:
        return np.zeros(0, dtype=np.int64), text[:0], suffixes[:0]
    starts = np.flatnonzero(shared < 2).astype(np.int32)
    starts = starts[text[suffixes[starts]] != BORDER]
    leading = text[suffixes[starts]]
    pairs = np.searchsorted(leading, np.arange(len(first)), side="left").astype(np.int64)
    return pairs, text[suffixes[starts] + 1], starts

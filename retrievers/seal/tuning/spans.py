"""Spans of documents that are worth writing for a query: those that share words with it, drawn at random."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from retrievers.seal.asking import Reader

WORD = re.compile(r"[^\W_]+")
STOP = frozenset(
    WORD.findall("a an and are as at be by for from has in is it its of on or that the this to was with")
)


@dataclass(frozen=True, slots=True)
class Text:
    """A document's body as tokens, with the word that begins at each token, or ''. `begins`: where words begin."""

    tokens: np.ndarray
    words: tuple[str, ...]
    begins: np.ndarray

    @classmethod
    def of(cls, tokens: Sequence[int], pieces: Sequence[str]) -> Text:
        """`pieces`: the text of every token of the vocabulary; a word begins with a space."""
        words: list[str] = []
        for token in tokens:
            piece = pieces[token]
            if piece[:1].isspace() or not words:
                words.append(piece)
            elif (at := _last(words)) is not None:
                words[at] += piece
                words.append("")
            else:
                words.append("")
        found = [WORD.search(word.lower()) for word in words]
        begins = np.array([place for place, match in enumerate(found) if match], dtype=np.int64)
        return cls(
            np.asarray(tokens, dtype=np.int64), tuple(match[0] if match else "" for match in found), begins
        )


def _last(words: list[str]) -> int | None:
    return next((at for at in range(len(words) - 1, -1, -1) if words[at]), None)


def drawn(
    text: Text, query: str, count: int, length: int, sharpness: float, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    """Up to `count` different spans of `length` tokens that begin with a word.

    Drawn without replacement, each word of the query in a span making it e^sharpness times as likely (the
    paper samples by overlap as well, section 4.1).
    """
    if not len(text.begins):
        return []
    asked = {match.lower() for match in WORD.findall(query)} - STOP
    shared = np.array([word in asked for word in text.words], dtype=np.float64)
    sums = np.concatenate([[0.0], np.cumsum(shared)])
    ends = np.minimum(text.begins + length, len(text.words))
    overlap = sums[ends] - sums[text.begins]
    keys = sharpness * overlap + rng.gumbel(size=len(overlap))
    chosen = text.begins[np.argsort(-keys)[:count]]
    found = {tuple(text.tokens[begin : begin + length].tolist()): None for begin in chosen}
    return list(found)


def stretch(text: Text, reader: Reader, rng: np.random.Generator) -> str:
    """Some consecutive words of a document, that stand for a query."""
    if not len(text.begins):
        return ""
    words = int(rng.integers(4, 20))
    first = int(rng.integers(max(1, len(text.begins) - words)))
    begin = int(text.begins[first])
    end = int(text.begins[first + words]) if first + words < len(text.begins) else len(text.tokens)
    return reader.decode(text.tokens[begin:end].tolist()).strip()

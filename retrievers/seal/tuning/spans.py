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
    """A document as tokens, with the word that begins at each token, or ''. `begins`: where words begin.

    `ends`: per word, where the part of the document (title or body) ends that it stands in.
    """

    tokens: np.ndarray
    words: tuple[str, ...]
    begins: np.ndarray
    ends: np.ndarray

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
        ends = np.full(len(begins), len(words), dtype=np.int64)
        return cls(
            np.asarray(tokens, dtype=np.int64),
            tuple(match[0] if match else "" for match in found),
            begins,
            ends,
        )

    def then(self, other: Text) -> Text:
        """This and another part behind it; no span crosses the border."""
        tokens, words = np.concatenate([self.tokens, other.tokens]), self.words + other.words
        begins = np.concatenate([self.begins, other.begins + len(self.words)])
        return Text(tokens, words, begins, np.concatenate([self.ends, other.ends + len(self.words)]))


def _last(words: list[str]) -> int | None:
    return next((at for at in range(len(words) - 1, -1, -1) if words[at]), None)


def drawn(
    text: Text,
    query: str,
    count: int,
    length: int,
    sharpness: float,
    rng: np.random.Generator,
    rarity: np.ndarray | None = None,
) -> list[tuple[int, ...]]:
    """Up to `count` different spans of at most `length` tokens that begin with a word, a frequent one only for want
    of others.

    Drawn without replacement, each word of the query in a span making it e^(sharpness · rarity) times as likely
    (the paper samples by overlap as well, section 4.1). `rarity`: of every token of the vocabulary, from 0 to 1;
    that of a word is its first token's. All are 1 when left out.
    """
    begins, ends = text.begins, np.minimum(text.begins + length, text.ends)
    telling = np.array([text.words[begin] not in STOP for begin in begins], dtype=bool)
    if telling.any():
        begins, ends = begins[telling], ends[telling]
    if not len(begins):
        return []
    asked = {match.lower() for match in WORD.findall(query)} - STOP
    shared = np.array([word in asked for word in text.words], dtype=np.float64)
    if rarity is not None:
        shared *= rarity[text.tokens]
    sums = np.concatenate([[0.0], np.cumsum(shared)])
    keys = sharpness * (sums[ends] - sums[begins]) + rng.gumbel(size=len(begins))
    chosen = np.argsort(-keys)[:count]
    found = {tuple(text.tokens[begins[at] : ends[at]].tolist()): None for at in chosen}
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

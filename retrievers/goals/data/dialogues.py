"""Dialogues as numbers of utterances: what is trained on and measured."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Dialogues:
    """D dialogues over n different utterances, in the order in which they were first said.

    Dialogue d owns `ptr[d]` to `ptr[d + 1]` of `rows`, (N,) int32 numbers of utterances, oldest first.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...] = field(repr=False)
    ptr: np.ndarray = field(repr=False)
    rows: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, dialogues: Iterable[Sequence[str]], ids: Sequence[str] | None = None) -> Dialogues:
        """From the utterances of each dialogue; ids are their places from 0 when left out."""
        numbers: dict[str, int] = {}
        turns = [[numbers.setdefault(text, len(numbers)) for text in dialogue] for dialogue in dialogues]
        ptr = np.cumsum([0, *map(len, turns)], dtype=np.int64)
        rows = np.array([row for dialogue in turns for row in dialogue], dtype=np.int32)
        names = map(str, range(len(turns))) if ids is None else ids
        return cls(tuple(names), tuple(numbers), ptr, rows)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.turns(dialogue) for dialogue in range(len(self)))

    def turns(self, dialogue: int) -> np.ndarray:
        """Numbers of a dialogue's utterances, oldest first."""
        return self.rows[self.ptr[dialogue] : self.ptr[dialogue + 1]]

    def only(self, chosen: Sequence[int] | np.ndarray) -> Dialogues:
        """Some of the dialogues, in the given order, over the same utterances."""
        parts = [self.turns(int(dialogue)) for dialogue in chosen]
        ptr = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        rows = np.concatenate(parts) if parts else np.zeros(0, np.int32)
        return Dialogues(tuple(self.ids[int(one)] for one in chosen), self.texts, ptr, rows)

    def first(self, count: int) -> Dialogues:
        """The first so many dialogues, and only the utterances that they need."""
        end = int(self.ptr[min(count, len(self))])
        rows = self.rows[:end]
        needed = int(rows.max()) + 1 if len(rows) else 0
        return Dialogues(self.ids[:count], self.texts[:needed], self.ptr[: count + 1], rows)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Turns of every dialogue: (D,) int64."""
        return np.diff(self.ptr)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that stand for the utterances and their order; ids do not matter."""
        digest = hashlib.blake2b(digest_size=8)
        for text in self.texts:
            raw = text.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "big") + raw)
        digest.update(self.ptr.tobytes() + self.rows.tobytes())
        return digest.hexdigest()

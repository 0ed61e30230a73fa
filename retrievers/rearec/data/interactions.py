"""What users did, as sequences of items: the input of sequential recommendation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Interactions:
    """Histories of U users over n items, oldest first.

    User u owns `ptr[u]` to `ptr[u + 1]` of `rows`, (N,) int32 numbers of items. `times`: (N,) float64, or None where
    only the order is known. `texts`: a text of every item, '' where there is none.
    """

    users: tuple[str, ...]
    items: tuple[str, ...]
    ptr: np.ndarray
    rows: np.ndarray
    times: np.ndarray | None = None
    texts: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(
        cls,
        users: Sequence[str],
        items: Sequence[str],
        histories: Sequence[Sequence[int]],
        times: Sequence[Sequence[float]] | None = None,
        texts: Sequence[str] = (),
    ) -> Interactions:
        """From one list of item numbers a user."""
        ptr = np.cumsum([0, *map(len, histories)], dtype=np.int64)
        rows = np.concatenate(
            [np.asarray(one, dtype=np.int32) for one in histories] or [np.zeros(0, np.int32)]
        )
        flat = np.concatenate([np.asarray(one, dtype=np.float64) for one in times]) if times else None
        return cls(tuple(users), tuple(items), ptr, rows.astype(np.int32), flat, tuple(texts))

    def __len__(self) -> int:
        return len(self.users)

    def history(self, user: int) -> np.ndarray:
        """Item numbers of a user, oldest first."""
        return self.rows[self.ptr[user] : self.ptr[user + 1]]

    @cached_property
    def lengths(self) -> np.ndarray:
        """Interactions of every user: (U,) int64."""
        return np.diff(self.ptr)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that stand for users, items, order, times and texts."""
        digest = hashlib.blake2b(digest_size=8)
        for names in (self.users, self.items, self.texts):
            for name in names:
                digest.update(name.encode("utf-8", "surrogatepass") + b"\0")
            digest.update(b"\1")
        digest.update(self.ptr.tobytes() + self.rows.tobytes())
        digest.update(b"" if self.times is None else self.times.tobytes())
        return digest.hexdigest()

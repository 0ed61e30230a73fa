"""What a search needs of an n-gram index, edited or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from retrievers.seal.index.ngrams import Places


class Ranges(Protocol):
    """N-grams as an index keeps them; only the index that made them can read them."""

    @property
    def counts(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def take(self, rows: np.ndarray) -> Any: ...


class Continued(Protocol):
    """How n-grams go on, see `Children`."""

    @property
    def tokens(self) -> np.ndarray: ...

    def take(self, rows: np.ndarray) -> Any: ...

    def best(self, scores: np.ndarray, k: int) -> np.ndarray: ...


class Index(Protocol):
    """See `NgramIndex`."""

    @property
    def documents(self) -> int: ...

    @property
    def tokens(self) -> int: ...

    @property
    def unigrams(self) -> tuple[np.ndarray, np.ndarray]: ...

    def root(self, beams: int = 1) -> Any: ...

    def titles(self, beams: int = 1) -> Any: ...

    def children(self, beams: Any) -> Continued: ...

    def counts(self, ngrams: Sequence[Sequence[int]]) -> np.ndarray: ...

    def places(self, ngrams: Sequence[Sequence[int]]) -> Places: ...

    def texts(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...

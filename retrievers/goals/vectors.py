"""Vectors of utterances, kept on disk chunk by chunk, by the hash of what a chunk was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from retrievers.embeddings import keep
from testbed.language.encoder import BATCH

if TYPE_CHECKING:
    from testbed.language.encoder import Encoder

CHUNK = 64 * BATCH
Tell = Callable[[int, int], None]
"""Is told how many utterances are done, and of how many."""


def vectors_of(texts: Sequence[str], encoder: Encoder, cache: Path, tell: Tell | None = None) -> np.ndarray:
    """Unit vectors of utterances, (n, dimensions) float32, read-only; from `<cache>/utterances/` where they are there.

    What is encoded is written at once, so that an interruption loses a chunk at most; utterances that are added at the
    end leave the chunks before them as they are. A file that cannot be read is made again.
    """
    vectors = np.empty((len(texts), encoder.dimensions), dtype=np.float32)
    for begin in range(0, len(texts), CHUNK):
        some = texts[begin : begin + CHUNK]
        path = cache / "utterances" / f"{_hash(some, encoder)}.npy"
        found = _kept(path, (len(some), encoder.dimensions))
        if found is None:
            found = encoder.encode(some)
            keep(path, found)
        vectors[begin : begin + CHUNK] = found
        if tell:
            tell(begin + len(some), len(texts))
    vectors.setflags(write=False)
    return vectors


def _kept(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    good = found.shape == shape and found.dtype == np.float32
    return np.asarray(found) if good and np.isfinite(found).all() else None


def _hash(texts: Sequence[str], encoder: Encoder) -> str:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{encoder.fingerprint}:{BATCH}:".encode())
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()

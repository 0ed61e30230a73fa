"""Embeddings of a whole catalog, kept on disk by the hash of what they were made from."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from testbed.language.encoder import BATCH

if TYPE_CHECKING:
    from retrievers.shown import Documents
    from testbed.language.encoder import Encoder

CHUNK = 64 * BATCH


def embeddings_of(documents: Documents, encoder: Encoder, cache: Path) -> np.ndarray:
    """Unit vectors of all documents, (n, dimensions) float32, read-only; from `<cache>/embeddings/` if there.

    Other texts, fields or encoder weights make another file. A file that cannot be read is made again; a
    cache that cannot be written costs time only.
    """
    path = cache / "embeddings" / f"{content_hash(documents, encoder)}.npy"
    shape = (len(documents), encoder.dimensions)
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
        if vectors.shape == shape and vectors.dtype == np.float32:
            return np.asarray(vectors)
    except (OSError, ValueError, EOFError):
        pass
    vectors = np.empty(shape, dtype=np.float32)
    for start in range(0, shape[0], CHUNK):
        stop = min(start + CHUNK, shape[0])
        vectors[start:stop] = encoder.encode([documents.text(row) for row in range(start, stop)])
    vectors.setflags(write=False)
    keep(path, vectors)
    return vectors


def content_hash(documents: Documents, encoder: Encoder) -> str:
    """32 hexadecimal digits that stand for the texts in their order and for the encoder."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{encoder.fingerprint}:{BATCH}:".encode())
    for row in range(len(documents)):
        text = documents.text(row).encode("utf-8", "surrogatepass")
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.hexdigest()


def keep(path: Path, vectors: np.ndarray) -> None:
    """Write an array so that readers see all of it or nothing; does nothing where it cannot write."""
    name = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".partial")
        with os.fdopen(handle, "wb") as file:
            np.save(file, vectors, allow_pickle=False)
        os.replace(name, path)
    except OSError:
        if name is not None:
            Path(name).unlink(missing_ok=True)

"""Texts of items as vectors, whitened; kept in the cache by content."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from retrievers.embeddings import keep
from retrievers.rearec.data import Interactions
from testbed.errors import UserError

if TYPE_CHECKING:
    from testbed.environment import Environment
    from testbed.language.encoder import Encoder


def vectors_of(interactions: Interactions, encoder: str, env: Environment) -> Tensor:
    """Vectors of all items' texts: (n, t) float32. UserError where items have no text."""
    missing = [
        item
        for item, text in zip(
            interactions.items, interactions.texts or [""] * len(interactions.items), strict=True
        )
        if not text
    ]
    if missing:
        raise UserError(
            f"{len(missing):,} of {len(interactions.items):,} items have no text, for instance {missing[0]!r}; "
            "put a *.item file beside the interactions, or use items: id"
        )
    loaded = env.encoder(encoder)
    digest = hashlib.blake2b(digest_size=16)
    digest.update(loaded.fingerprint.encode())
    for text in interactions.texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return torch.from_numpy(
        encoded(interactions.texts, loaded, env.cache / "embeddings" / f"{digest.hexdigest()}.npy")
    )


def encoded(texts: tuple[str, ...], encoder: Encoder, place: Path) -> np.ndarray:
    """Unit vectors of texts, from `place` if they are there."""
    try:
        found = np.load(place, allow_pickle=False)
        if len(found) == len(texts):
            return np.asarray(found, dtype=np.float32)
    except (OSError, ValueError, EOFError):
        pass
    found = np.asarray(encoder.encode(list(texts)), dtype=np.float32)
    keep(place, found)
    return found

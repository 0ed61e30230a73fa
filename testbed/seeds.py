"""Random generators that follow from what they are for, not from when they are asked for."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def derive(*parts: object) -> int:
    """A 64-bit number (0 … 2⁶⁴ − 1) that depends on the parts and nothing else.

    `parts` are JSON values (strings, numbers, booleans, None, lists, mappings with string keys). Types
    matter: 1, 1.0, "1" and True give different numbers. TypeError for anything else, ValueError for nan.
    The hash is BLAKE2b over canonical JSON, so it is the same on every machine and in every process.
    """
    text = json.dumps(parts, ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def rng_for(*parts: object) -> np.random.Generator:
    """A numpy generator (PCG64) for one purpose, for instance `rng_for(trial_key, "candidates")`."""
    import numpy as np

    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(derive(*parts))))


def torch_generator(*parts: object, device: str = "cpu") -> torch.Generator:
    """A torch generator on `device` for one purpose; torch is imported here and not before."""
    import torch

    return torch.Generator(device=device).manual_seed(derive(*parts) >> 1)

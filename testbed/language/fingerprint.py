"""A short identity for model files, cheap enough to take at every start."""

from __future__ import annotations

import hashlib
from pathlib import Path

WHOLE = 64 * 2**20
"""Files up to this many bytes are read whole."""
SAMPLES, SAMPLE = 256, 64 * 2**10
"""Larger ones: their size and this many evenly spaced pieces of this many bytes (first and last included)."""
TEXTS = (
    "config.json",
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "chat_template.jinja",
)


def fingerprint(path: Path) -> str:
    """16 hexadecimal digits (SHA-256) of a model file, or of a folder's weights, tokenizer and configuration.

    Sampling tells models apart; it does not prove that a file is untouched.
    """
    in_folder = [*sorted(path.glob("*.safetensors")), *(path / name for name in TEXTS)]
    files = [path] if path.is_file() else in_folder
    digest = hashlib.sha256()
    for file in files:
        if file.is_file():
            digest.update(f"{file.name if path.is_dir() else ''}:{file.stat().st_size}:".encode())
            _feed(digest, file)
    return digest.hexdigest()[:16]


def _feed(digest: hashlib._Hash, path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= WHOLE:
            digest.update(file.read())
            return
        for index in range(SAMPLES):
            file.seek((size - SAMPLE) * index // (SAMPLES - 1))
            digest.update(file.read(SAMPLE))

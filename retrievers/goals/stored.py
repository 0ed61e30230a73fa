"""Trained heads as their folder holds them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from retrievers.goals.model import CurvedHeads
from testbed.errors import UserError

WEIGHTS, ABOUT = "model.safetensors", "model.json"
ENCODER = "encoder"
"""Where an encoder lies that was tuned with the heads; `./encoder` in `model.json`."""
VERSION = 1
WIDEST = 16_384
"""Longest vector of an encoder that is believed."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a folder says. `encoder`: whose vectors the heads read, by name or path, and its fingerprint."""

    folder: Path
    width: int
    encoder: str
    fingerprint: str

    @classmethod
    def of(cls, folder: Path) -> Stored:
        """UserError where the folder holds no heads, or damaged ones."""
        place = folder / ABOUT
        if not place.is_file():
            raise UserError(f"{folder}: holds no heads; `testbed train goals` leaves them in seed-<number>")
        try:
            about = json.loads(place.read_text("utf-8"))
            version, width = about["version"], about["width"]
            encoder, fingerprint = str(about["encoder"]), str(about["encoder_fingerprint"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as fault:
            raise UserError(f"{place}: is damaged ({fault})") from fault
        if encoder == f"./{ENCODER}":
            encoder = str((folder / ENCODER).absolute())
        if version != VERSION:
            raise UserError(f"{place}: is of version {version!r}, expected {VERSION}")
        if not isinstance(width, int) or not 1 <= width <= WIDEST:
            raise UserError(f"{place}: is damaged (width {width!r})")
        return cls(folder, width, encoder, fingerprint)

    def heads(self) -> CurvedHeads:
        """The heads. UserError where the weights do not fit."""
        heads = CurvedHeads(self.width)
        try:
            heads.load_state_dict(load_file(self.folder / WEIGHTS))
        except (OSError, SafetensorError, RuntimeError) as fault:
            raise UserError(f"{self.folder / WEIGHTS}: does not fit {ABOUT}: {fault}") from fault
        return heads.eval().requires_grad_(False)

"""A trained sequential model as its folder holds it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from retrievers.rearec.model import ModelOptions, SequentialModel
from retrievers.rearec.predict import READS, Read
from testbed.errors import UserError

WEIGHTS, ABOUT, ITEMS = "model.safetensors", "model.json", "items.json"
VERSION = 1


@dataclass(frozen=True)
class Stored:
    """What a folder says. `items`: ids of the items that have an embedding, for models that know items by id."""

    folder: Path
    options: ModelOptions
    read: Read
    encoder: str | None
    count: int
    items: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> Stored:
        """UserError where the folder holds no model, or a damaged one."""
        place = folder / ABOUT
        if not place.is_file():
            raise UserError(
                f"{folder}: holds no sequential model; `testbed train rearec` leaves them in seed-<number>"
            )
        try:
            about = json.loads(place.read_text("utf-8"))
            if about["version"] != VERSION:
                raise UserError(
                    f"{place}: has version {about['version']} of the format, this one reads {VERSION}"
                )
            if about["read"] not in READS.values():
                raise ValueError(f"is read at {about['read']!r}")
            items = json.loads((folder / ITEMS).read_text("utf-8"))
            found = cls(
                folder, ModelOptions(**about["options"]), about["read"], about["encoder"], int(about["items"]),
                tuple(map(str, items)),
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise UserError(f"{place}: is damaged ({fault})") from fault
        if len(found.items) != found.count:
            raise UserError(f"{place}: is damaged ({found.count} items, but {len(found.items)} in {ITEMS})")
        return found

    def model(self, vectors: Tensor | None) -> SequentialModel:
        """The network with its weights, in evaluation mode. `vectors`: (n, t) of items' texts where it reads them."""
        model = SequentialModel(self.options, self.count if vectors is None else len(vectors), vectors)
        try:
            model.load_state_dict(load_file(self.folder / WEIGHTS))
        except (OSError, SafetensorError, RuntimeError) as fault:
            raise UserError(f"{self.folder / WEIGHTS}: does not fit {ABOUT}: {fault}") from fault
        return model.eval()

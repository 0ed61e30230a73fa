"""What a detector's reader says of a listing, and how it is kept."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

Fields = Mapping[str, str]


class Suspicion(NamedTuple):
    """How suspicious a listing is, higher is more; why, in words; and the tokens that reading it took."""

    score: float
    note: str = ""
    tokens: int = 0


class Reader(Protocol):
    """Scores listings by their fields alone: the same fields, the same score, whatever else is read."""

    def __call__(self, listings: Sequence[Fields]) -> list[Suspicion]: ...

    def count(self, fields: Fields) -> int:
        """Tokens that reading a listing takes."""

    @property
    def fingerprint(self) -> str:
        """Of all that a score depends on besides the fields: models, options."""


def scored(reader: Reader, listings: Sequence[Fields], cache: Path) -> list[Suspicion]:
    """What a reader says of listings, once per machine: kept in the cache folder by a hash of all of it."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([reader.fingerprint, [list(one.items()) for one in listings]]).encode())
    place = cache / "defences" / f"{digest.hexdigest()}.json"
    try:
        found = json.loads(place.read_text("utf-8"))
        return [Suspicion(float(score), str(note), int(tokens)) for score, note, tokens in found]
    except (OSError, ValueError, TypeError):
        pass
    made = reader(listings)
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps([list(one) for one in made]), "utf-8")
    part.replace(place)
    return made


def text_of(fields: Fields) -> str:
    """A listing as one text, a line a field."""
    return "\n".join(f"{name}: {' '.join(text.split())}" for name, text in fields.items() if text.strip())

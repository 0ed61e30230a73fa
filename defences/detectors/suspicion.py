"""What a detector's reader says of a listing, and how it is kept."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from testbed.errors import UserError, shown

if TYPE_CHECKING:
    from testbed.protocols import Plugin

Fields = Mapping[str, str]
WANTED = "a suspicion is a number, higher is more suspicious (of empty text too)"


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


@dataclass(frozen=True)
class Rule:
    """A reader made of a function of the fields."""

    judge: Callable[[Fields], float]
    fingerprint: str

    @classmethod
    def of(cls, plugin: Plugin, judge: Callable[[Fields], float]) -> Rule:
        """With a fingerprint of the plug-in's options and of the code that it is written in."""
        try:
            code = inspect.getsource(sys.modules[type(plugin).__module__])
        except (KeyError, OSError, TypeError):  # made in memory: nothing says whether it is still the same
            code = os.urandom(16).hex()
        return cls(judge, hashlib.blake2b(f"{plugin!r}\n{code}".encode(), digest_size=16).hexdigest())

    def __call__(self, listings: Sequence[Fields]) -> list[Suspicion]:
        return [Suspicion(self._number(self.judge(fields))) for fields in listings]

    def count(self, fields: Fields) -> int:
        """No token is read."""
        return 0

    def _number(self, said: Any) -> float:
        try:
            return float(said)
        except (TypeError, ValueError):
            name = getattr(self.judge, "__qualname__", "judge")
            raise UserError(f"{name} returned {shown(said)} for a listing: {WANTED}") from None


def sound(name: str, scores: Iterable[float], items: Iterable[str], where: str = "") -> None:
    """UserError that names detector and item where a score is not a number. `where`: of which catalog the item is."""
    for score, item in zip(scores, items, strict=True):
        if math.isnan(score):
            raise UserError(f"{name} gave the listing {shown(item)}{where} the score nan: {WANTED}")


def scored(reader: Reader, listings: Sequence[Fields], cache: Path) -> list[Suspicion]:
    """What a reader says of listings, once per machine: kept in the cache folder by a hash of all of it."""
    key = json.dumps([reader.fingerprint, [list(one.items()) for one in listings]])
    found = kept(key, cache, lambda: [list(one) for one in reader(listings)])
    return [Suspicion(float(score), str(note), int(tokens)) for score, note, tokens in found]


def kept(key: str, cache: Path, make: Callable[[], list[Any]]) -> list[Any]:
    """What `make` returns, JSON values; made once per machine and kept in the cache folder by a hash of the key."""
    place = cache / "defences" / f"{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}.json"
    try:
        found: list[Any] = json.loads(place.read_text("utf-8"))
        return found
    except (OSError, ValueError):
        pass
    made = make()
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(made), "utf-8")
    part.replace(place)
    return made


def text_of(fields: Fields) -> str:
    """A listing as one text, a line a field."""
    return "\n".join(f"{name}: {' '.join(text.split())}" for name, text in fields.items() if text.strip())

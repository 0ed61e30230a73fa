"""What a listing may look like at all: characters, words, lengths, kinds of values."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import Field

from defences.detectors.detector import Detector
from defences.detectors.suspicion import Suspicion

if TYPE_CHECKING:
    from defences.detectors.suspicion import Fields, Reader
    from testbed.catalog import Catalog
    from testbed.environment import Environment

HIDDEN = {"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"}
"""Unicode categories without a visible character: control, format (bidirectional marks, zero width), unassigned."""
JOINS = re.compile(r"(?<=\w)[-–'’/&.,:+](?=\w)|(?<=\d)[x×](?=\d)")
FRAME = "\"'“”‘’([)]}.,;:!?…%°″+*™®©–-/&$€£#<>~=≤≥"
WINDOW = 8
"""Words that are looked at together."""


class Schema(Detector):
    """Flag listings that break rules of form: hidden characters, long fields, odd words, wrong kinds of values.

    Rules of form catch most published token sequences without any model. A field whose values are numbers in all of the
    catalog's listings (`$29`, `4 cups`) has to hold one and no more than three words.
    """

    longest: int = Field(default=600, ge=1)
    """Characters of a field beyond which it is too long."""

    @property
    def counts_tokens(self) -> bool:  # type: ignore[override]
        """Whether the stage around which it stands does: no model reads for it."""
        return self.over is not None and self.over.counts_tokens

    def reader(self, catalog: Catalog, env: Environment) -> Reader:
        """Ten for every broken rule, and between 0 and 1 for the share of odd words where they are densest."""
        columns = catalog.columns.items() if self.own else ()
        typed = frozenset(name for name, texts in columns if name != catalog.name_field and numbers(texts))
        return Form(self.longest, typed)

    def abroad(self, reader: Reader) -> Reader:
        """The same without kinds of values, which are those of this catalog."""
        return Form(self.longest, frozenset())


@dataclass(frozen=True)
class Form:
    """Reads a listing's form. `typed`: fields that hold a number with its unit."""

    longest: int
    typed: frozenset[str]

    @property
    def fingerprint(self) -> str:
        """What a score depends on."""
        return f"schema 1 {self.longest} {sorted(self.typed)}"

    def count(self, fields: Fields) -> int:
        """No token is read."""
        return 0

    def __call__(self, listings: Sequence[Fields]) -> list[Suspicion]:
        return [self._judged(fields) for fields in listings]

    def _judged(self, fields: Mapping[str, str]) -> Suspicion:
        score, notes = 0.0, []
        for name, text in fields.items():
            hidden = sorted({f"U+{ord(char):04X}" for char in text if is_hidden(char)})
            if hidden:
                notes.append(f"{name} holds {', '.join(hidden[:4])}")
            if len(text) > self.longest:
                notes.append(f"{name} has {len(text)} characters, more than {self.longest}")
            if name in self.typed and not numbers([text]):
                notes.append(f"{name} is no number with a unit")
        density, where = max((densest(text) for text in fields.values()), default=(0.0, ""))
        score = 10.0 * len(notes) + density
        if density > 0:
            notes.append(f"{density:.0%} odd words in {where!r}")
        return Suspicion(score, "; ".join(notes))


def is_hidden(char: str) -> bool:
    """Whether a character shows nothing, line ends and tabulators aside."""
    return unicodedata.category(char) in HIDDEN and char not in "\n\r\t"


def densest(text: str) -> tuple[float, str]:
    """The largest share of odd words among neighbours, and these."""
    words = text.split()
    odd = [is_odd(word) for word in words]
    best, place = 0.0, 0
    for start in range(max(1, len(words) - WINDOW + 1)):
        share = sum(odd[start : start + WINDOW]) / WINDOW
        if share > best:
            best, place = share, start
    return best, " ".join(words[place : place + WINDOW])


def is_odd(word: str) -> bool:
    """Whether a word is none that people write: signs or capitals within it, letters of several alphabets."""
    core = word.strip(FRAME)
    if not core:
        return len(word) > 3
    if len(word) - len(core) > 3 or len(core) > 30:
        return True
    for part in JOINS.sub(" ", core).split():
        if not part.isalnum() and not all(char.isalnum() or unicodedata.combining(char) for char in part):
            return True
        turns = sum(one.islower() and two.isupper() for one, two in pairwise(part))
        if turns > 1 or len({alphabet(char) for char in part if char.isalpha()}) > 1:
            return True
    return False


def alphabet(char: str) -> str:
    """Of which script a letter is, by its Unicode name."""
    return unicodedata.name(char, "?").split()[0]


def numbers(texts: Sequence[str]) -> bool:
    """Whether every text is a number with a unit or two; False of none."""
    some = [text for text in texts if text.strip()]
    return bool(some) and all(
        re.search(r"\d", text) and len(text.split()) <= 3 and len(text) <= 24 for text in some
    )

"""One frozen text: a line of `FOLDER/*.jsonl`. Its scenario stands in `FOLDER/scenarios/HASH.yaml`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from testbed.errors import UserError, shown
from testbed.store import write_text
from testbed.types import HistoryEdit, Place

SCENARIOS = "scenarios"


@dataclasses.dataclass(frozen=True, slots=True)
class Effect:
    """A paired effect with its 95 % interval; bounds are None where none can be given. `n`: pairs."""

    measure: str
    estimate: float
    low: float | None
    high: float | None
    n: int

    @property
    def works(self) -> bool:
        """Whether the effect is shown: its interval lies above 0."""
        return self.low is not None and self.low > 0


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A text with the listing that it is for, its scenario, where it comes from and what it did.

    `scenario`: hash of the scenario as it was run. `folder`: where that scenario's relative paths begin, seen from
    the registry folder. `provenance`: attack, threat, stack, catalog, models, versions, dates.
    """

    id: str
    target: str
    field: str
    place: Place
    seed: int
    text: str
    scenario: str
    folder: str
    provenance: Mapping[str, Any]
    effect: Effect
    history: tuple[HistoryEdit, ...] = ()
    steps: int = 0
    best_step: int = 0

    @classmethod
    def id_of(cls, scenario: str, target: str, seed: int, text: str, history: Iterable[HistoryEdit]) -> str:
        """16 hexadecimal digits that follow from what is measured."""
        whole = json.dumps([scenario, target, seed, text, [dataclasses.astuple(edit) for edit in history]])
        return hashlib.blake2b(whole.encode(), digest_size=8).hexdigest()

    @property
    def edited(self) -> bool:
        """Whether the id is not that of what is measured: somebody has changed the line."""
        return self.id != self.id_of(self.scenario, self.target, self.seed, self.text, self.history)

    def to_line(self) -> str:
        """One line of JSON, ASCII, without its newline."""
        return json.dumps({"schema": 1, **dataclasses.asdict(self)}, ensure_ascii=True, allow_nan=False)

    @classmethod
    def from_line(cls, line: str, where: str) -> Entry:
        """The entry on a line; UserError that begins with `where` for anything else. Unknown keys are passed over."""
        try:
            data = json.loads(line)
            if data["schema"] != 1:
                raise ValueError(f"schema {data['schema']!r} is not one this version reads (1)")
            names = {field.name for field in dataclasses.fields(cls)}
            kept = {name: value for name, value in data.items() if name in names}
            kept["effect"] = Effect(**kept["effect"])
            kept["history"] = tuple(HistoryEdit(**edit) for edit in kept.get("history", ()))
            entry = cls(**kept)
            told = [entry.id, entry.target, entry.field, entry.text, entry.scenario, entry.folder]
            if not all(isinstance(one, str) for one in told) or not isinstance(entry.seed, int):
                raise ValueError("a field has the wrong type")
        except (ValueError, TypeError, KeyError, AttributeError) as fault:
            raise UserError(f"{where}: not an entry of a registry: {fault}") from None
        if not entry.scenario.isalnum():
            raise UserError(f"{where}: {shown(entry.scenario)} is no scenario hash")
        return entry


def read_folder(folder: Path) -> list[Entry]:
    """All entries, file by file; UserError where there is no such folder, or one is garbage or there twice."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such registry folder")
    found: dict[str, Entry] = {}
    for file in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            entry = Entry.from_line(line, f"{file}:{number}")
            if entry.id in found:
                raise UserError(f"{file}:{number}: the text {entry.id} is there twice")
            found[entry.id] = entry
    return list(found.values())


def write_entries(file: Path, entries: Iterable[Entry]) -> None:
    """Put entries into a file, all or nothing; those that are there already under the same id are replaced."""
    kept: dict[str, Entry] = {}
    if file.is_file():
        lines = file.read_text(encoding="utf-8").splitlines()
        old = [Entry.from_line(line, f"{file}:{number}") for number, line in enumerate(lines, start=1)]
        kept = {entry.id: entry for entry in old}
    kept |= {entry.id: entry for entry in entries}
    write_text(file, "".join(entry.to_line() + "\n" for entry in kept.values()))

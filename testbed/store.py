"""A run directory: manifest, scenario verbatim, append-only records, traces and timings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from testbed.errors import UserError
from testbed.locks import locked
from testbed.records import Record, RecordError, from_line, to_line
from testbed.types import STACK

MANIFEST, SCENARIO, TRIALS, TIMINGS = "manifest.json", "scenario.yaml", "trials.jsonl", "timings.jsonl"
SPENDING = "spending.json"
TRACES, TABLES, PARQUET, REPORT = "traces", "tables.json", "results.parquet", "report.html"


class RunDirectory:
    """One run on disk. Only the driver writes to it; killing it at any byte loses at most the last trial."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """An existing run; UserError when the folder is none."""
        run = cls(path)
        if not run.exists:
            raise UserError(f"{run.path}: not a run directory (no {MANIFEST})")
        return run

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def exists(self) -> bool:
        """Whether a run has begun here."""
        return (self.path / MANIFEST).is_file()

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes from writing here; UserError when one does already."""
        return locked(self.path, "run directory")

    @property
    def manifest(self) -> dict[str, Any]:
        """What was run, with which versions, on what."""
        try:
            data: dict[str, Any] = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError) as fault:
            raise UserError(f"{self.path / MANIFEST}: cannot be read: {fault}") from None
        return data

    @property
    def spending(self) -> dict[str, float]:
        """What stages that ask paid services booked for this run, over all its sessions; empty without any."""
        try:
            found = json.loads((self.path / SPENDING).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        items = found.items() if isinstance(found, dict) else ()
        return {name: amount for name, amount in items if isinstance(amount, int | float)}

    def write_manifest(self, data: Mapping[str, Any]) -> None:
        """Replace the manifest, all or nothing."""
        write_json(self.path / MANIFEST, data)

    def prepare(self, scenario_text: str) -> None:
        """Make the folders and keep the scenario as it was written."""
        (self.path / TRACES).mkdir(parents=True, exist_ok=True)
        write_text(self.path / SCENARIO, scenario_text)

    def recover(self) -> list[Record]:
        """The records on file; a torn last line is cut off, so that appending can go on behind it."""
        file = self.path / TRIALS
        if not file.exists():
            return []
        whole = 0
        records: list[Record] = []
        with file.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    records.append(from_line(line, f"{file}:{number}"))
                except RecordError:
                    if stream.read(1):
                        raise
                    break
                whole += len(line)
        if (
            file.stat().st_size > whole
        ):  # a whole file keeps its time, so that what is derived from it stays younger
            with file.open("rb+") as stream:
                stream.truncate(whole)
        return records

    def clear(self) -> None:
        """Remove what a run has written here, and nothing else."""
        for name in (MANIFEST, SCENARIO, TRIALS, TIMINGS, TABLES, PARQUET, REPORT):
            (self.path / name).unlink(missing_ok=True)
        for trace in (self.path / TRACES).glob("*.jsonl"):
            trace.unlink()

    def rewrite(self, records: Iterable[Record]) -> None:
        """Put other records in the place of those on file, all or nothing."""
        write_text(self.path / TRIALS, "".join(to_line(record) + "\n" for record in records))

    def append(self, records: Iterable[Record]) -> None:
        """Add lines and hand them to the operating system."""
        with (self.path / TRIALS).open("a", encoding="utf-8", newline="\n") as stream:
            stream.writelines(to_line(record) + "\n" for record in records)

    def add_timing(self, key: str, seconds: float) -> None:
        """Note how long a trial took; kept apart because it never repeats."""
        with (self.path / TIMINGS).open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(json.dumps({"key": key, "seconds": round(seconds, 3)}) + "\n")

    def write_trace(
        self, target: str, seed: int, lines: Sequence[Mapping[str, Any]], *, source: str = STACK
    ) -> None:
        """Keep what an attack went through, one line a step; `source`: the stack it searched on."""
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        name = file_name(target if source == STACK else f"{target}@{source}")
        write_text(self.path / TRACES / f"{name}-{seed}.jsonl", text)


def file_name(item_id: str) -> str:
    """An item id as part of a file name: other characters than letters, digits, `-`, `_`, `.` become `_`.

    A short hash keeps different ids apart where something had to be replaced.
    """
    safe = "".join(char if char.isascii() and (char.isalnum() or char in "-_.") else "_" for char in item_id)[
        :80
    ]
    if safe == item_id and not item_id.startswith("."):
        return safe
    import hashlib

    return f"{safe.lstrip('.')}-{hashlib.blake2b(item_id.encode(), digest_size=4).hexdigest()}"


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON, all or nothing."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file, all or nothing."""
    draft = path.with_name(path.name + ".part")
    draft.write_text(text, encoding="utf-8", newline="\n")
    os.replace(draft, path)

"""Interaction files: RecBole's atomic files, one sequence a line, and JSON lines; told apart by how they begin.

Order within a user: by timestamp where there is one, equal ones in the file's order (it decides a quarter of
MovieLens-1M's targets); else as written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrievers.lines import numbered_lines
from retrievers.rearec.data.interactions import Interactions
from testbed.errors import UserError, did_you_mean, shown

LONGEST_TEXT = 4000
"""Characters of an item's text that are kept."""
SEQUENCE, TEXTS = (".inter", ".txt", ".jsonl"), (".item",)
HEADER = ("user_id", "item_id", "item_id_list", "timestamp")
JSON_KEYS = ("user", "items", "times")


@dataclass(slots=True)
class _Read:
    """What is known so far. `events`: user → (time, item number) in the file's order."""

    rows: dict[str, int] = field(default_factory=dict)
    events: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    timed: bool = False
    untimed: bool = False

    def add(self, user: str, item: str, time: float | None) -> None:
        self.timed, self.untimed = self.timed or time is not None, self.untimed or time is None
        row = self.rows.setdefault(item, len(self.rows))
        self.events.setdefault(user, []).append((0.0 if time is None else time, row))


def read(path: Path) -> Interactions:
    """Interactions of a file or a folder that holds one. UserError with `file:line: message`.

    - `*.inter` with a header of tab-separated `name:type`: a line an interaction (`user_id`, `item_id`, with or
      without `timestamp`), or a line a user (`user_id`, `item_id_list` and, behind it, `item_id`).
    - `*.txt`: `user item item …`, a line a user.
    - `*.jsonl`: `{"user": …, "items": […]}`, with or without `times`.

    Texts of items come from `*.item` in the same folder (a header, `item_id` and any columns, which are joined), or
    from `items.jsonl` (`{"id": …, "text": …}`). Items that only have a text are left out.
    """
    file = _found(path)
    known = _Read()
    if file.suffix == ".jsonl":
        _json(file, known)
    elif file.suffix == ".inter":
        _atomic(file, known)
    else:
        _plain(file, known)
    if not known.events:
        raise UserError(f"{file}: holds no interactions")
    if known.timed and known.untimed:
        raise UserError(f"{file}: some users have times and some have none; give all of them or none")
    histories, times = [], []
    for events in known.events.values():
        ordered = sorted(events, key=lambda event: event[0]) if known.timed else events
        histories.append([row for _, row in ordered])
        times.append([time for time, _ in ordered])
    texts = _texts(file, known.rows)
    return Interactions.of(
        list(known.events), list(known.rows), histories, times if known.timed else None, texts
    )


def _found(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, names)
        raise UserError(f"{path}: no such file or folder" + (f"; {hint}" if hint else ""))
    inside = sorted(
        entry for entry in path.iterdir() if entry.suffix in SEQUENCE and entry.name != "items.jsonl"
    )
    if len(inside) != 1:
        there = ", ".join(entry.name for entry in inside) or "none"
        raise UserError(
            f"{path}: should hold one file of interactions ({', '.join(SEQUENCE)}), holds {there}"
        )
    return inside[0]


def _columns(file: Path, number: int, header: str) -> dict[str, int]:
    """Name → column of a RecBole header; UserError where a name has no type or is there twice."""
    found: dict[str, int] = {}
    for place, cell in enumerate(header.split("\t")):
        name, colon, kind = cell.strip().partition(":")
        if not colon or not name or not kind:
            raise UserError(f"{file}:{number}: expected `name:type` in the header, got {shown(cell)}")
        if name in found:
            raise UserError(f"{file}:{number}: the header has {shown(name)} twice")
        found[name] = place
    return found


def _need(file: Path, number: int, columns: Mapping[str, int], name: str) -> int:
    if name not in columns:
        hint = did_you_mean(name, columns)
        raise UserError(f"{file}:{number}: the header has no {name!r}" + (f"; {hint}" if hint else ""))
    return columns[name]


def _atomic(file: Path, known: _Read) -> None:
    lines = numbered_lines(file)
    number, header = next(lines, (1, ""))
    if not header:
        return
    columns = _columns(file, number, header)
    user, item = (_need(file, number, columns, name) for name in ("user_id", "item_id"))
    listed, time = columns.get("item_id_list"), columns.get("timestamp")
    seen: set[str] = set()
    for number, line in lines:
        cells = line.split("\t")
        if len(cells) != len(columns):
            raise UserError(f"{file}:{number}: expected {len(columns)} columns, got {len(cells)}")
        who, what = cells[user].strip(), cells[item].strip()
        if not who or not what:
            raise UserError(f"{file}:{number}: the {'user' if not who else 'item'} is empty")
        if listed is None:
            known.add(who, what, None if time is None else _time(file, number, cells[time]))
            continue
        _once(file, number, who, seen)
        for earlier in (*cells[listed].split(), what):
            known.add(who, earlier, None)


def _plain(file: Path, known: _Read) -> None:
    seen: set[str] = set()
    for number, line in numbered_lines(file):
        user, *items = line.split()
        if not items:
            raise UserError(f"{file}:{number}: expected `user item item …`, got {shown(line)}")
        _once(file, number, user, seen)
        for item in items:
            known.add(user, item, None)


def _json(file: Path, known: _Read) -> None:
    seen: set[str] = set()
    for number, line in numbered_lines(file):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file}:{number}: is not JSON ({error})") from None
        if not isinstance(entry, dict):
            raise UserError(f"{file}:{number}: expected an object, got {shown(line)}")
        for key in entry:
            if key not in JSON_KEYS:
                hint = did_you_mean(key, JSON_KEYS) or f"known: {', '.join(JSON_KEYS)}"
                raise UserError(f"{file}:{number}: unknown key {shown(key)}; {hint}")
        user, items, times = _user(entry.get("user")), entry.get("items"), entry.get("times")
        if user is None or not isinstance(items, list) or any(_user(item) is None for item in items):
            raise UserError(f"{file}:{number}: expected `user` and `items`, a list of ids")
        if times is not None and (not isinstance(times, list) or len(times) != len(items)):
            raise UserError(f"{file}:{number}: expected as many times as items")
        _once(file, number, user, seen)
        for place, item in enumerate(items):
            known.add(user, str(item), None if times is None else _time(file, number, times[place]))


def _user(value: Any) -> str | None:
    """An id as text; None where it is neither text nor a whole number."""
    good = (isinstance(value, str) and value.strip()) or (
        isinstance(value, int) and not isinstance(value, bool)
    )
    return str(value) if good else None


def _once(file: Path, number: int, user: str, seen: set[str]) -> None:
    if user in seen:
        raise UserError(f"{file}:{number}: user {shown(user)} was there before")
    seen.add(user)


def _time(file: Path, number: int, cell: Any) -> float:
    try:
        found = float(cell)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise UserError(f"{file}:{number}: expected a time as a number, got {shown(cell)}")
    return found


def _texts(file: Path, rows: Mapping[str, int]) -> list[str]:
    """A text of every item, from the file of items beside the interactions; nothing without one."""
    beside = sorted(entry for entry in file.parent.iterdir() if entry.suffix in TEXTS)
    own = [entry for entry in beside if entry.stem.split(".")[0] == file.name.split(".")[0]] or beside
    readers: list[tuple[Path, Callable[[Path], Iterator[tuple[str, str]]]]] = [
        (entry, _atomic_texts) for entry in own
    ]
    if (file.parent / "items.jsonl").is_file():
        readers = [(file.parent / "items.jsonl", _json_texts)]
    if not readers:
        return []
    place, reader = readers[0]
    found = [""] * len(rows)
    for item, text in reader(place):
        if item in rows:
            found[rows[item]] = text[:LONGEST_TEXT]
    return found


def _atomic_texts(file: Path) -> Iterator[tuple[str, str]]:
    lines = numbered_lines(file)
    number, header = next(lines, (1, ""))
    columns = _columns(file, number, header)
    item = _need(file, number, columns, "item_id")
    for number, line in lines:
        cells = line.split("\t")
        if len(cells) != len(columns):
            raise UserError(f"{file}:{number}: expected {len(columns)} columns, got {len(cells)}")
        rest = [cell.strip() for place, cell in enumerate(cells) if place != item]
        yield cells[item].strip(), ". ".join(filter(None, rest))


def _json_texts(file: Path) -> Iterator[tuple[str, str]]:
    for number, line in numbered_lines(file):
        try:
            entry = json.loads(line)
            yield str(entry["id"]), str(entry["text"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UserError(f'{file}:{number}: expected {{"id": …, "text": …}}, got {shown(line)}') from None

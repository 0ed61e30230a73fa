"""Files as numbered lines of text or JSON objects; broken lines become faults, not exceptions."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO, Any

from catalogs.loaders.faults import Faults, hint
from testbed.errors import shown

Source = Path | Traversable
"""A file or folder on disk or inside an installed package."""

LONGEST = 16 * 2**20
"""Bytes that a line may have; a longer one is skipped and reported."""


class Literal(str):
    """A JSON number as it was written: `4.10` stays `4.10`."""


def label(source: Source) -> str:
    """How a file is called in messages."""
    return str(source) if isinstance(source, Path) else source.name


def missing(source: Source, faults: Faults) -> bool:
    """Whether there is no such file; then it is a fault, with the hint name in its folder."""
    if source.is_file():
        return False
    why = ""
    if source.is_dir():
        why = "; it is a folder"
    elif isinstance(source, Path) and source.parent.is_dir():
        why = hint(source.name, sorted(entry.name for entry in source.parent.iterdir())[:1000])
    faults.add(label(source), None, f"no such file{why}")
    return True


def text_lines(source: Source, faults: Faults) -> Iterator[tuple[int, str]]:
    """Lines with their numbers from 1, without line ends; UTF-8, a byte order mark is dropped.

    A line that is not UTF-8 or too long is a fault, and an empty text stands in its place.
    Files that end in `.gz` are decompressed as they are read.
    """
    if missing(source, faults):
        return
    file = label(source)
    try:
        with source.open("rb") as raw:
            packed = file.endswith(".gz")
            yield from _decoded(gzip.GzipFile(fileobj=raw) if packed else raw, file, faults)
    except (OSError, EOFError, zlib.error) as error:
        faults.add(file, None, f"cannot be read: {error}")


def _decoded(stream: IO[bytes] | gzip.GzipFile, file: str, faults: Faults) -> Iterator[tuple[int, str]]:
    number = 0
    while line := stream.readline(LONGEST):
        number += 1
        if number == 1:
            if line.startswith((b"\xff\xfe", b"\xfe\xff")):
                faults.add(file, 1, "the file is UTF-16; save it as UTF-8")
                return
            line = line.removeprefix(b"\xef\xbb\xbf")
        if len(line) >= LONGEST and not line.endswith(b"\n"):
            faults.add(file, number, f"line is longer than {LONGEST:,} bytes")
            while (rest := stream.readline(LONGEST)) and not rest.endswith(b"\n"):
                pass
            yield number, ""
            continue
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            faults.add(file, number, f"not UTF-8: byte 0x{line[error.start]:02x} at byte {error.start + 1}")
            text = ""
        yield number, text.removesuffix("\n").removesuffix("\r")


def json_lines(
    source: Source, faults: Faults, *, literal: bool = False
) -> Iterator[tuple[int, dict[str, Any]]]:
    """JSON objects, one a line, with line numbers; blank lines are skipped.

    `literal` keeps numbers as written, as `Literal` text. Repeated keys, NaN and numbers beyond 1e15 are
    faults: they mean different things to different readers.
    """
    file = label(source)
    decoder = json.JSONDecoder(
        object_pairs_hook=_object,
        parse_float=Literal if literal else _number,
        parse_int=Literal if literal else _number,
        parse_constant=_constant,
    )
    for number, text in text_lines(source, faults):
        if not text.strip():
            continue
        try:
            value = decoder.decode(text)
        except json.JSONDecodeError as error:
            faults.add(file, number, f"not JSON: {error.msg} at column {error.colno}{_excerpt(text)}")
        except RecursionError:
            faults.add(file, number, "not usable: nested too deeply")
        except ValueError as error:
            faults.add(file, number, str(error))
        else:
            if isinstance(value, dict):
                yield number, value
            else:
                faults.add(file, number, f"not a JSON object but {kind(value)}")


def kind(value: object) -> str:
    """The type of a JSON value in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float | Literal):
        return "a number"
    names: dict[type, str] = {str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def _excerpt(text: str) -> str:
    return "" if len(text) > 200 else f" in {shown(text)}"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key {shown(twice)} appears twice")
    return made


def _number(text: str) -> int | float:
    value = float(text)
    if not math.isfinite(value) or abs(value) > 1e15:
        raise ValueError(f"number out of range: {shown(text)}")
    return int(text) if text.lstrip("-").isdigit() else value


def _constant(text: str) -> float:
    raise ValueError(f"not a JSON number: {text}")

"""Lines of text files from outside, numbered, so that a fault can be named by its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from testbed.errors import UserError

LONGEST_LINE = 16 * 2**20
"""Bytes."""


def numbered_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Lines with their numbers from 1, without their ends; empty ones are left out. UserError with `file:line`."""
    try:
        with file.open("rb") as stream:
            number = 0
            while raw := stream.readline(LONGEST_LINE):
                number += 1
                try:
                    text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise UserError(f"{file}:{number}: is not UTF-8 ({error.reason})") from None
                if len(raw) >= LONGEST_LINE:
                    raise UserError(f"{file}:{number}: the line is longer than {LONGEST_LINE:,} bytes")
                if text.strip():
                    yield number, text
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror or error}") from error

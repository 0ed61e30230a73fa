"""Answers that were paid for, kept on disk: one small file each, whole or not there."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from pathlib import Path

from pydantic import TypeAdapter

from testbed.errors import StopRun
from testbed.language.checksums import write_atomically
from testbed.language.endpoint.answer import Answer

_ANSWER = TypeAdapter(Answer)


class Answers:
    """Key → answer. Processes may share a folder: an entry is moved into its place when it is whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Answer | None:
        """The answer that is kept; None where there is none, or one that was damaged."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            entry = json.loads(self._file(key).read_text(encoding="utf-8"))
            if entry["key"] == key and entry["sum"] == _sum(entry["answer"]):
                return _ANSWER.validate_python(entry["answer"])
        return None

    def put(self, key: str, answer: Answer) -> None:
        """Keep an answer. StopRun when it cannot be kept: what follows would be paid for in vain."""
        value = json.loads(json.dumps(dataclasses.asdict(answer)))
        text = json.dumps({"key": key, "sum": _sum(value), "answer": value}, ensure_ascii=True)
        try:
            write_atomically(self._file(key), text)
        except OSError as fault:
            raise StopRun(
                f"an answer cannot be kept in {self.folder}: {fault.strerror or fault}; set TESTBED_CACHE to a folder "
                "with space where you may write, or write cache: false to pay for every question anew"
            ) from None

    def _file(self, key: str) -> Path:
        return self.folder / key[:3] / f"{key[3:]}.json"


def _sum(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

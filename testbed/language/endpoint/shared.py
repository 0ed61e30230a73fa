"""A few numbers that threads and processes share: in memory, or in a small file that one of them changes at a time."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

from testbed.errors import StopRun
from testbed.language.checksums import write_atomically

Numbers = dict[str, float]


class Shared:
    """Name → number. `path` None keeps them in this process."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._mutex = threading.Lock()
        self._numbers: Numbers = {}

    @contextlib.contextmanager
    def changing(self) -> Iterator[Numbers]:
        """The numbers, to be changed within the block; nothing is kept of a block that raises."""
        with self._mutex:
            if self.path is None:
                numbers = dict(self._numbers)
                yield numbers
                self._numbers = numbers
                return
            from filelock import FileLock

            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with FileLock(self.path.with_name(f".{self.path.name}.lock"), poll_interval=0.005):
                    numbers = self._read()
                    yield numbers
                    write_atomically(self.path, json.dumps(numbers, indent=1) + "\n")
            except OSError as fault:
                raise StopRun(f"{self.path}: cannot be written: {fault.strerror or fault}") from None

    def now(self) -> Numbers:
        """The numbers as they are."""
        return dict(self._numbers) if self.path is None else self._read()

    def _read(self) -> Numbers:
        if self.path is None:
            return {}
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self.path.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return {str(name): value for name, value in found.items() if isinstance(value, int | float)}
        return {}

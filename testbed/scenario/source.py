"""A scenario as written: plain values, the place of each key and value, and what is wrong so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from testbed.errors import Fault, shown

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a value stands; line and column from 1, 0 outside files."""

    file: str
    line: int = 0
    column: int = 0


@dataclass
class Source:
    """Values as read, where they stand, and what is wrong so far.

    `spots`: path → (key, value); `faulted`: paths whose value is known to be wrong.
    """

    file: str
    data: dict[str, Any] = field(default_factory=dict)
    spots: dict[Path, tuple[Spot, Spot]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    faulted: set[Path] = field(default_factory=set)

    def fault(self, path: Path, message: str, hint: str = "", *, at_key: bool = False) -> None:
        """Note a fault at a path, unless its value, or one around it, is known to be wrong.

        Unknown paths fall back outwards.
        """
        if any(path[:length] in self.faulted for length in range(1, len(path) + 1)):
            return
        self.faults.append(self.fault_at(path, message, hint, at_key=at_key))

    def fault_at(self, path: Path, message: str, hint: str = "", *, at_key: bool = False) -> Fault:
        """A fault at a path, not noted."""
        known = path
        while known and known not in self.spots:
            known = known[:-1]
        key, value = self.spots.get(known, (Spot(self.file), Spot(self.file)))
        spot = key if at_key and known == path else value
        return Fault(message, dotted(path), spot.file, spot.line, spot.column, hint)


def dotted(path: Path) -> str:
    """A path as `--set` takes it: `stack.0.model`."""
    return ".".join(
        part if (part := str(key)).isprintable() and len(part) <= 60 else shown(part) for key in path
    )

"""All faults of a catalog's files, gathered and reported in one error."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from testbed.errors import CatalogError, did_you_mean, shown, visible

SHOWN = 20
MOST = 1000


class Faults:
    """Collects `file:line: message`; the first twenty are kept, the rest are counted.

    At a thousand reading stops: the file is of another kind then, and looking for right spellings takes time.
    """

    def __init__(self) -> None:
        self._shown: list[str] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, file: str, line: int | None, message: str) -> None:
        """Note a fault; `line` counts from 1, None when the file as a whole is meant."""
        self._count += 1
        if len(self._shown) < SHOWN:
            place = file if line is None else f"{file}:{line}"
            self._shown.append(visible(f"{place}: {message}"))
        if self._count >= MOST:
            self.stop()

    def stop(self) -> None:
        """Raise one `CatalogError` when there was a fault."""
        if not self._count:
            return
        more = [f"... and {self._count - SHOWN} more"] if self._count > SHOWN else []
        if self._count >= MOST:
            more = [f"... and {self._count - SHOWN} more; the rest was not read"]
        raise CatalogError("\n".join([*self._shown, *more]))


def hint(word: object, known: Iterable[str]) -> str:
    """`; did you mean 'price'?`, or the known words when there are few, or nothing."""
    options = [option for option in islice(known, 2000) if len(option) <= 100]
    if asked := did_you_mean(str(word)[:100], options):
        return f"; {asked}"
    return f"; known are {', '.join(map(shown, options))}" if 0 < len(options) <= 12 else ""


def unknown_keys(keys: Iterable[str], known: Iterable[str]) -> list[str]:
    """One message for each key that is not known."""
    allowed = list(known)
    return [f"unknown key {shown(key)}{hint(key, allowed)}" for key in keys if key not in allowed]

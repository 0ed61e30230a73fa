"""Errors that a user can cause: one clear message, the place, the nearest right spelling; exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar


class UserError(Exception):
    """Something that the user can put right. The message is for people; the command line prints it alone."""

    exit_code: ClassVar[int] = 2


class UnknownNameError(UserError):
    """A name that nothing answers to; the message carries the nearest right spelling."""


class PluginError(UserError):
    """A plug-in that cannot be found, imported or trusted to be the one that was meant."""


class CatalogError(UserError):
    """A catalog that cannot be used as it is. The text has one `file:line: message` a fault."""


class ModelError(UserError):
    """A model that is not there, cannot be read, or is of the wrong kind."""


class StopRun(UserError):
    """Nothing that is left to do can succeed: the run ends here, as if interrupted, and can be gone on with."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong at one place. `line` and `column` count from 1; 0 where there is no file to point into.

    `path` is the dotted path of the key, as `--set` takes it. Reads `file:line:column: path: message; hint`.
    """

    message: str
    path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        text = ": ".join(part for part in (where, self.path, self.message) if part)
        return visible(f"{text}; {self.hint}" if self.hint else text)


class ScenarioError(UserError):
    """Every fault of a scenario, in the order of the file."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults: Sequence[Fault] = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))

    def __reduce__(self) -> tuple[type[ScenarioError], tuple[Sequence[Fault]]]:
        return type(self), (self.faults,)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that `word` was most likely meant to be, or None."""
    by_folded = {name.casefold().replace("-", "_"): name for name in known}
    found = difflib.get_close_matches(word.casefold().replace("-", "_"), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?`, or '' when nothing is near."""
    name = nearest(word, known)
    return f"did you mean {name!r}?" if name is not None else ""


def hinted(message: str, word: str, known: Iterable[str]) -> str:
    """The message with `; did you mean 'x'?` behind it where something is near."""
    return "; ".join(filter(None, (message, did_you_mean(word, known))))


def visible(text: str) -> str:
    """The text on one line, with control and bidirectional characters escaped: safe for a terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def shown(value: object, limit: int = 60) -> str:
    """A value as it may stand in a message: quoted, control and bidirectional characters escaped, cut."""
    text = value if isinstance(value, str) else str(value)
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")


def listed(names: Iterable[object], limit: int = 20) -> str:
    """Names joined by commas, cut after `limit`; '(none)' when there are none."""
    texts = [str(name) for name in names]
    if len(texts) > limit:
        texts = [*texts[:limit], f"… ({len(texts)} in all)"]
    return ", ".join(texts) or "(none)"

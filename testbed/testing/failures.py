"""How a check says what is wrong: which property, what was seen, and what the cause most likely is."""

from __future__ import annotations

from typing import NoReturn


class CheckFailed(AssertionError):
    """A plug-in breaks a property that the testbed relies on."""


def fail(rule: str, seen: str, cause: str) -> NoReturn:
    """Raise CheckFailed: the rule, what was seen, the likely cause."""
    raise CheckFailed(f"{rule}\n  seen: {seen}\n  likely cause: {cause}")


def expect(holds: object, rule: str, seen: str, cause: str) -> None:
    """Raise CheckFailed unless something holds."""
    if not holds:
        fail(rule, seen, cause)

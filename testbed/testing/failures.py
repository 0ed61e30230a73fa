"""How a check says what is wrong: which property, what was seen, and what the cause most likely is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError
from typing import NoReturn

from hypothesis.errors import Flaky, HypothesisException
from pydantic import ValidationError

from testbed.errors import UserError
from testbed.faults import told


class CheckFailed(AssertionError):
    """A plug-in breaks a property that the testbed relies on."""


def fail(rule: str, seen: str, cause: str) -> NoReturn:
    """Raise CheckFailed: the rule, what was seen, the likely cause."""
    raise CheckFailed(f"{rule}\n  seen: {seen}\n  likely cause: {cause}")


@contextmanager
def as_failures(plugin: object, rule: str) -> Iterator[None]:
    """What a plug-in raises, or makes the check raise by what it returned, as CheckFailed with the cause chained."""
    try:
        yield
    except Flaky as error:
        first = next(iter(getattr(error, "exceptions", ())), error)
        seen = f"a case failed once and not again: {str(first).splitlines()[0]}"
        cause = "a global generator, or state between calls; draw from what is handed in"
        raise CheckFailed(f"same case, same result\n  seen: {seen}\n  likely cause: {cause}") from error
    except (CheckFailed, HypothesisException):
        raise
    except Exception as error:
        cause = "an exception of its own code, or a value of another type than its protocol says is returned"
        frozen = isinstance(error, FrozenInstanceError) or (
            isinstance(error, ValidationError)
            and any(one["type"] == "frozen_instance" for one in error.errors())
        )
        if frozen:
            cause = (
                "plug-ins, slates and listings are frozen; make another (dataclasses.replace), keep no state"
            )
        elif isinstance(error, UserError):
            cause = "it refuses what it was given, or gave what is refused"
        seen = " ".join(told(error, [plugin]).split())
        raise CheckFailed(f"{rule}\n  seen: {seen}\n  likely cause: {cause}") from error


def expect(holds: object, rule: str, seen: str, cause: str) -> None:
    """Raise CheckFailed unless something holds."""
    if not holds:
        fail(rule, seen, cause)

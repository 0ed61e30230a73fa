"""Folders that are written to, by one writer each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.errors import UserError

LOCK = ".lock"


def made(folder: Path, kind: str) -> Path:
    """The folder, made where it was not there; UserError where that cannot be. `kind`: what it is, for messages."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise _cannot(folder, kind, fault) from None
    return folder


def _cannot(folder: Path, kind: str, fault: OSError) -> UserError:
    return UserError(f"{folder}: cannot be a {kind}: {fault.strerror or fault}")


@contextmanager
def locked(folder: Path, kind: str) -> Iterator[None]:
    """Make the folder and keep other processes from writing there; UserError when one does already.

    `kind`: what the folder is, for messages.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK)
    try:
        made(folder, kind)
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"{folder}: another process is running here; wait for it or choose another --out"
        ) from None
    except OSError as fault:
        raise _cannot(folder, kind, fault) from None
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()

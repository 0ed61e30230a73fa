"""One writer a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.errors import UserError

LOCK = ".lock"


@contextmanager
def locked(folder: Path, kind: str) -> Iterator[None]:
    """Make the folder and keep other processes from writing there; UserError when one does already.

    `kind`: what the folder is, for messages.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"{folder}: another process is running here; wait for it or choose another --out"
        ) from None
    except OSError as fault:
        raise UserError(f"{folder}: cannot be a {kind}: {fault.strerror or fault}") from None
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()

"""Folders that are made once and then only read: atomic, one maker at a time, rebuilt when damaged."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from testbed.errors import ModelError
from testbed.language.checksums import damage, write_sums


def prepared(folder: Path, build: Callable[[Path], None], *, what: str, cache: Path) -> Path:
    """`folder`, made by `build(empty folder)` unless it is there and whole.

    `build` works in `<folder>.partial`, which takes its final name only when it is finished and its checksums
    are recorded; so an interrupted run leaves nothing that looks finished. A lock file lets one process
    build while others wait. `what` names the content in messages on standard error.
    """
    if not damage(folder, cache):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _only_maker(folder, what):
            fault = damage(folder, cache)
            if not fault:
                return folder
            if folder.exists():
                notice(f"{what}: the copy in the cache is damaged ({fault}); it is made again")
            _make(folder, build)
    except OSError as error:
        raise ModelError(
            f"{what}: cannot write to the cache folder {cache}: {error.strerror or error}; "
            "set TESTBED_CACHE to a folder with space where you may write"
        ) from error
    return folder


def _make(folder: Path, build: Callable[[Path], None]) -> None:
    """Build beside the final place and move in; the caller holds the lock."""
    partial, old = (folder.with_name(folder.name + ending) for ending in (".partial", ".old"))
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    try:
        build(partial)
        write_sums(partial)
        if folder.exists():
            os.replace(folder, old)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _only_maker(folder: Path, what: str) -> Iterator[None]:
    """Hold the folder's lock file; the system frees it when a process dies."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder.with_name(folder.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        with busy(f"{what}: waiting for another process that is preparing it"):
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def notice(message: str) -> None:
    """One plain line on standard error."""
    print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def busy(message: str) -> Iterator[None]:
    """Show that work is going on: a spinner on a terminal, one plain line elsewhere."""
    if not sys.stderr.isatty():
        notice(message)
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console(file=sys.stderr).status(Text(message)):
        yield


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Keep the progress bars of libraries off standard error."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield

"""Work that may be stopped at any time: Ctrl-C and a polite kill end it with the same message."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

INTERRUPTED = 130


@contextmanager
def resumable(where: Path) -> Iterator[None]:
    """SIGINT and SIGTERM end what is within with a message on standard error and exit code 130.

    `where`: the folder that the same command goes on from.
    """
    try:
        with _term_like_int():
            yield
    except KeyboardInterrupt:
        click.echo(f"interrupted; the same command goes on from {where}", err=True)
        raise SystemExit(INTERRUPTED) from None


@contextmanager
def _term_like_int() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, unless somebody else deals with it already."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

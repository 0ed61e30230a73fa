"""Where in a plug-in's own code an exception came from, told without anything of the machine."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

from testbed.protocols import Plugin


def told(fault: BaseException, plugins: Iterable[object]) -> str:
    """`KeyError: 'x' (mine.py:12)`: the exception, and the innermost line of the plug-ins' own packages.

    Without the place where it was not raised in, or below, one of them.
    """
    place = place_of(fault, plugins)
    return f"{type(fault).__name__}: {fault}" + (f" ({place})" if place else "")


def place_of(fault: BaseException, plugins: Iterable[object]) -> str:
    """`mine.py:12`, or ''."""
    own = {_package(module) for plugin in plugins for module in _modules(plugin)}
    found = ""
    for frame, line in traceback.walk_tb(fault.__traceback__):
        name = str(frame.f_globals.get("__name__", ""))
        if any(name == one or name.startswith(f"{one}.") for one in own):
            found = f"{Path(frame.f_code.co_filename).name}:{line}"
    return found


def _modules(plugin: object) -> Iterator[str]:
    """Modules of a plug-in and of those among its options."""
    if isinstance(plugin, tuple | list):
        for part in plugin:
            yield from _modules(part)
    elif isinstance(plugin, Plugin):
        yield type(plugin).__module__
        for _, value in plugin:
            yield from _modules(value)


def _package(module: str) -> str:
    """What a plug-in calls its own: its package, but only its module where that is the testbed's."""
    package = module.partition(".")[0]
    return module if package == "testbed" else package

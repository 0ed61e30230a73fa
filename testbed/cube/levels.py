"""What a level does to a scenario as written: keys are set, stages go before or around the last one."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from testbed.scenario.source import Path, Source

BEFORE, AROUND = "before", "around"
OUTER = ("name", "from")
"""Keys of a stage that say where it stands, which go to what stands around it."""


class WrongLevelError(Exception):
    """A level that cannot be applied: the path within it, and why."""

    def __init__(self, path: Path, message: str) -> None:
        self.path, self.message = path, message
        super().__init__(message)


def apply(source: Source, level: Any, where: Path) -> None:
    """Change `source.data`; `where`: the level's own path, whose spots faults of the new values will have.

    Dotted keys first, then `before` and `around`. WrongLevelError where that cannot be done.
    """
    if not isinstance(level, Mapping):
        raise WrongLevelError(where, "expected a mapping of dotted keys to values, or {}")
    for key, value in level.items():
        if key not in (BEFORE, AROUND):
            path = _put(source.data, key.split("."), copy.deepcopy(value), (*where, key))
            _move_spots(source, path, (*where, key))
    for key, change in ((BEFORE, _before), (AROUND, _around)):
        if key in level:
            stack = source.data.get("stack")
            if not isinstance(stack, list) or not stack or not isinstance(stack[-1], Mapping):
                raise WrongLevelError((*where, key), "the stack is no list of stages")
            for index, stage in enumerate(_stages(level[key], (*where, key))):
                place = (*where, key, index) if isinstance(level[key], list) else (*where, key)
                change(source, stack, copy.deepcopy(dict(stage)), place)


def _stages(value: Any, path: Path) -> list[Mapping[str, Any]]:
    stages = value if isinstance(value, list) else [value]
    if not all(isinstance(stage, Mapping) for stage in stages):
        raise WrongLevelError(path, "expected a stage, {use: ...}, or a list of them")
    return stages


def _before(source: Source, stack: list[Any], stage: dict[str, Any], where: Path) -> None:
    """Put a stage before the last one, which then reads from it; the new one reads what that one read."""
    last = dict(stack[-1])
    if "from" in last and "from" not in stage:
        stage["from"] = last.pop("from")
        last["from"] = [stage.get("name", stage.get("use"))]
    stack[-1:] = [stage, last]
    _move_spots(source, ("stack", len(stack) - 2), where)


def _around(source: Source, stack: list[Any], stage: dict[str, Any], where: Path) -> None:
    """Put a stage around the last one, under the name and with the inputs of that one."""
    inner = dict(stack[-1])
    outer = {key: inner.pop(key) for key in OUTER if key in inner}
    stack[-1] = {**stage, **outer, "over": inner}
    _move_spots(source, ("stack", len(stack) - 1), where)


def _put(data: dict[str, Any], steps: list[str], value: Any, where: Path) -> Path:
    """Write a value in its place, as `--set` does, but make mappings that are missing on the way."""
    place: Any = data
    path: Path = ()
    for step in steps:
        key: str | int = step
        if isinstance(place, list):
            if not step.isdecimal() or int(step) >= len(place):
                raise WrongLevelError(where, f"no such entry: the list has {len(place)}, counted from 0")
            key = int(step)
        elif not isinstance(place, dict):
            raise WrongLevelError(where, f"there is a value, not keys, before {step!r}")
        path = (*path, key)
        if len(path) == len(steps):
            place[key] = value
            break
        if isinstance(place, dict) and place.get(step) is None:
            place[key] = {}
        place = place[key]
    return path


def _move_spots(source: Source, path: Path, where: Path) -> None:
    """Let faults at and below `path` point to the level that put a value there."""
    for old in [known for known in source.spots if known[: len(path)] == path]:
        del source.spots[old]
    for known, spot in list(source.spots.items()):
        if known[: len(where)] == where:
            source.spots[(*path, *known[len(where) :])] = spot

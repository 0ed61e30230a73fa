"""A cube file → its cells, each checked as a scenario; or every fault at once, with its place."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from testbed.cube.levels import WrongLevelError, apply
from testbed.cube.model import AXES, Cell, Cube
from testbed.errors import Fault, ScenarioError, did_you_mean, listed, shown
from testbed.registry import Registry, installed
from testbed.scenario import overrides as setting
from testbed.scenario.load import CUBE as KEY
from testbed.scenario.load import LEAVE_OUT, TRANSFER, checked, text_of
from testbed.scenario.source import Path, Source
from testbed.scenario.yaml_source import read

UNITS = ("steps", "queries", "tokens", "gradient_calls", "seconds")
MOST_CELLS = 1000


def is_cube(path: str | FilePath) -> bool:
    """Whether a file that is there has the key `cube`."""
    path = FilePath(path)
    return path.is_file() and KEY in read(text_of(path), str(path)).data


def load_cube(
    path: str | FilePath, overrides: Iterable[str] = (), *, registry: Registry | None = None
) -> Cube:
    """Read and check a cube file. `overrides` change the file, its axes included (`cube.budget.queries=[20]`).

    Raises ScenarioError with every fault; an override of what the levels of an axis set is one.
    """
    path, overrides = FilePath(path), tuple(overrides)
    source = read(text_of(path), str(path))
    own = [one for one in overrides if one.partition("=")[0].strip().split(".")[0] == KEY]
    setting.apply(source, own)
    if source.faults:
        raise ScenarioError(source.faults)
    axes, unit, left = _axes(source)
    travels = _travels(source, axes)
    swept = dict(_swept(overrides, axes))
    source.faults += swept.values()
    setting.apply(source, [one for one in overrides if one not in own and one not in swept])
    if source.faults:
        raise ScenarioError(source.faults)
    places = [place for place in _places(axes) if not any(_within(place, one) for one in left)]
    if not places or len(places) > MOST_CELLS:
        source.fault((KEY,), f"a cube of {len(places)} cells; from 1 to {MOST_CELLS:,} are possible")
        raise ScenarioError(source.faults)
    drafts = {tuple(place.items()): _draft(source, place, axes) for place in places}
    faults: dict[str, Fault] = {}
    cells: list[Cell] = []
    for place in places:
        draft = drafts[tuple(place.items())]
        others = _others(place, travels, axes, drafts)
        if others and draft.data.get("attack") not in (None, "none"):
            draft.data["transfer"] = {"victims": others}
        try:
            scenario = checked(draft, (), path.parent, registry or installed())
        except ScenarioError as error:
            for fault in error.faults:
                faults.setdefault(str(fault), fault)
        else:
            cells.append(Cell(place, scenario))
    if faults:
        raise ScenarioError(faults.values())
    return Cube(
        str(source.data["name"]), {axis: tuple(levels) for axis, levels in axes.items()}, tuple(cells), unit
    )


def _axes(source: Source) -> tuple[dict[str, dict[str, Any]], str, list[Mapping[str, str]]]:
    """Axis → level → what it changes; the unit of the budget axis; what is left out."""
    cube = source.data.get(KEY)
    if not isinstance(cube, Mapping):
        source.fault((KEY,), f"expected a mapping of axes ({listed(AXES)}) to their levels")
        return {}, "", []
    found: dict[str, dict[str, Any]] = {}
    for name in cube:
        if name not in (*AXES, LEAVE_OUT, TRANSFER):
            known = (*AXES, LEAVE_OUT, TRANSFER)
            source.fault(
                (KEY, name),
                f"unknown key {shown(name)}",
                did_you_mean(name, known) or f"known: {listed(known)}",
                at_key=True,
            )
    unit = ""
    for axis in (axis for axis in AXES if axis in cube):
        levels = cube[axis]
        if axis == "budget":
            unit, levels = _budgets(source, levels)
        if not isinstance(levels, Mapping) or not levels:
            source.fault((KEY, axis), "expected a mapping of names to what they change")
            continue
        for level in levels:
            if not re.fullmatch(r"[a-z0-9]+([-_.][a-z0-9]+)*", level):
                source.fault(
                    (KEY, axis, level),
                    f"the name {shown(level)} needs lower-case letters, digits and -",
                    at_key=True,
                )
        found[axis] = dict(levels)
    if not found and not source.faults:
        source.fault((KEY,), "a cube needs an axis")
    return found, unit, _left_out(source, cube.get(LEAVE_OUT, []), found)


def _swept(overrides: Iterable[str], axes: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Fault]]:
    """Overrides that levels would undo, each with what is wrong with it."""
    for override in overrides:
        name = override.partition("=")[0].strip()
        steps = name.split(".")
        for axis, levels in axes.items():
            written = [key for level in levels.values() if isinstance(level, Mapping) for key in level]
            if any(steps[: key.count(".") + 1] == key.split(".") for key in written):
                hint = (
                    f"set the axis: --set 'cube.{axis}={{queries: [20]}}'"
                    if axis == "budget"
                    else (f"set a level: --set 'cube.{axis}.{next(iter(levels))}={{...}}'")
                )
                yield (
                    override,
                    Fault(f"the axis {axis} of the cube sets it, level by level", name, "--set", hint=hint),
                )
                break


def _budgets(source: Source, levels: Any) -> tuple[str, Any]:
    """`{steps: [2, 8]}` → the unit, and levels `2` and `8`."""
    if not isinstance(levels, Mapping) or len(levels) != 1 or next(iter(levels)) not in UNITS:
        source.fault(
            (KEY, "budget"),
            f"expected one unit with its amounts, for instance {{steps: [2, 8]}}; units: {listed(UNITS)}",
        )
        return "", {"0": {}}
    ((unit, amounts),) = levels.items()
    if (
        not isinstance(amounts, list)
        or not amounts
        or not all(isinstance(one, int) and not isinstance(one, bool) for one in amounts)
    ):
        source.fault((KEY, "budget", unit), "expected a list of whole numbers")
        return unit, {"0": {}}
    for index, amount in enumerate(amounts):
        if amount in amounts[:index]:
            source.fault((KEY, "budget", unit, index), f"{amount} is there already", "name every amount once")
    return unit, {str(amount): {f"threat.budget.{unit}": amount} for amount in sorted(set(amounts))}


def _left_out(source: Source, wanted: Any, axes: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, str]]:
    if not isinstance(wanted, list):
        source.fault((KEY, LEAVE_OUT), "expected a list of {axis: level, ...}")
        return []
    found: list[Mapping[str, str]] = []
    for index, one in enumerate(wanted):
        path: Path = (KEY, LEAVE_OUT, index)
        if not isinstance(one, Mapping) or not one:
            source.fault(path, "expected {axis: level, ...}")
            continue
        for axis, level in one.items():
            known = axes.get(axis, {})
            if str(level) not in known:
                source.fault(
                    (*path, axis),
                    f"the axis {shown(axis)} has no level {shown(level)}",
                    did_you_mean(str(level), known),
                )
        found.append({axis: str(level) for axis, level in one.items()})
    return found


def _travels(source: Source, axes: Mapping[str, Any]) -> tuple[str, ...]:
    wanted = source.data[KEY].get(TRANSFER, []) if isinstance(source.data.get(KEY), Mapping) else []
    names = [wanted] if isinstance(wanted, str) else wanted
    for name in names if isinstance(names, list) else [names]:
        if name not in ("stack", "defence") or name not in axes:
            source.fault(
                (KEY, TRANSFER),
                f"texts can travel along the axes stack and defence of the cube, not {shown(name)}",
            )
            return ()
    return tuple(names)


def _places(axes: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    for levels in itertools.product(*axes.values()):
        yield dict(zip(axes, levels, strict=True))


def _within(place: Mapping[str, str], left: Mapping[str, str]) -> bool:
    return all(place.get(axis) == level for axis, level in left.items())


def _draft(source: Source, place: Mapping[str, str], axes: Mapping[str, Mapping[str, Any]]) -> Source:
    """The scenario of a cell as it would be written; faults of its levels are noted in it."""
    data = copy.deepcopy({key: value for key, value in source.data.items() if key != KEY})
    draft = Source(source.file, data, dict(source.spots))
    for axis, level in place.items():
        where: Path = (KEY, axis) if axis == "budget" else (KEY, axis, level)
        try:
            apply(draft, axes[axis][level], where)
        except WrongLevelError as wrong:
            draft.fault(wrong.path, wrong.message)
    if isinstance(data.get("name"), str):
        data["name"] = "-".join([data["name"], *place.values()])
    return draft


def _others(
    place: Mapping[str, str],
    travels: Sequence[str],
    axes: Mapping[str, Mapping[str, Any]],
    drafts: Mapping[tuple[tuple[str, str], ...], Source],
) -> dict[str, Any]:
    """Name → stack of every cell that differs from this one in one of the axes along which texts travel."""
    found = {}
    for axis in travels:
        for level in axes[axis]:
            other = drafts.get(tuple({**place, axis: level}.items()))
            if level != place[axis] and other is not None:
                found[victim_name(axis, level, travels)] = copy.deepcopy(other.data.get("stack"))
    return found


def victim_name(axis: str, level: str, travels: Sequence[str]) -> str:
    """What the stack of another level is called among the victims of a cell."""
    return level if len(travels) == 1 else f"{axis}-{level}"

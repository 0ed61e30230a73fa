"""`--set attack.steps=10`: dotted path, list positions allowed, value in YAML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from testbed.errors import Fault, did_you_mean, listed
from testbed.scenario.model import Scenario
from testbed.scenario.sections import Section
from testbed.scenario.source import Path, Source, Spot, dotted
from testbed.scenario.yaml_source import read


class Typed(str):
    """An override that was written as another option, or that comes from a file; its faults quote `typed`."""

    typed: str

    def __new__(cls, override: str, typed: str) -> Typed:
        made = super().__new__(cls, override)
        made.typed = typed
        return made


class _WrongError(Exception):
    """An override that leads nowhere: message and hint."""


def apply(source: Source, overrides: Iterable[str]) -> None:
    """Put each override into `source.data`, in order. Faults are noted; their place is the override."""
    for override in overrides:
        name, equals, text = override.partition("=")
        name = name.strip()
        label = _label(override)
        if not equals or not name:
            source.faults.append(Fault("expected PATH=VALUE, for instance seeds=[0,1]", file=label))
            continue
        value = read(f"value: {text}\n", label)
        if value.faults:
            source.faults += [Fault(fault.message, name, label, hint=fault.hint) for fault in value.faults]
            source.faulted.add(tuple(int(step) if step.isdecimal() else step for step in name.split(".")))
            continue
        try:
            path = _put(source.data, name.split("."), value.data["value"])
        except _WrongError as wrong:
            message, hint = wrong.args
            source.faults.append(Fault(message, name, label, hint=hint))
        else:
            _move_spots(source, path, value)


def _label(override: str) -> str:
    """What stands in messages as the place of an override's faults."""
    typed = override.typed if isinstance(override, Typed) else f"--set {override}"
    return typed if len(typed) <= 66 or not typed.startswith("--") else typed[:65] + "…"


def _put(data: dict[str, Any], steps: list[str], value: Any) -> Path:
    """Write the value in its place; the path with list positions as numbers."""
    place: Any = data
    path: Path = ()
    for step in steps:
        key: str | int = step
        if isinstance(place, list):
            if not step.isdecimal() or int(step) >= len(place):
                raise _WrongError(f"no such entry: {dotted(path)} has {len(place)}, counted from 0", "")
            key = int(step)
        elif not isinstance(place, dict):
            raise _WrongError(f"{dotted(path)} holds a value, not keys", "")
        path = (*path, key)
        if len(path) == len(steps):
            place[key] = value
        elif isinstance(place, dict) and place.get(step) is None:
            if path not in {known[:-1] for known in _schema()}:
                raise _WrongError(f"there is nothing at {dotted(path)}", _nearest_path(data, ".".join(steps)))
            place[key] = {}
        place = place[key]
    return path


def _nearest_path(data: dict[str, Any], name: str) -> str:
    paths = list(dict.fromkeys([*map(dotted, _written(data)), *map(dotted, _schema())]))
    same_depth = [known for known in paths if known.count(".") == name.count(".")]
    beginnings = [known for known in paths if "." not in known]
    return (
        did_you_mean(name, same_depth)
        or did_you_mean(name.partition(".")[0], beginnings)
        or f"known: {listed(beginnings)}"
    )


def _written(data: Any, path: Path = ()) -> Iterator[Path]:
    entries = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, list) else ()
    for key, value in entries:
        yield (*path, key)
        yield from _written(value, (*path, key))


def _schema(model: Any = Scenario, path: Path = ()) -> Iterator[Path]:
    """The paths that a scenario has whatever the plug-ins are."""
    for name, field in model.model_fields.items():
        here = (*path, field.alias or name)
        yield here
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from _schema(kind, here)


def _move_spots(source: Source, path: Path, value: Source) -> None:
    for old in [known for known in source.spots if known[: len(path)] == path]:
        del source.spots[old]
    source.faulted = {known for known in source.faulted if known[: len(path)] != path}
    for known, (key, spot) in value.spots.items():
        if known[:1] == ("value",):
            source.spots[(*path, *known[1:])] = (Spot(key.file), Spot(spot.file))

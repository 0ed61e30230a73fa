"""A scenario file → a checked `Scenario`, or every fault of it at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel

from testbed.errors import Fault, ScenarioError, UserError, listed, nearest
from testbed.protocols import ObserverPlugin, Plugin
from testbed.registry import Registry, installed
from testbed.scenario import overrides as setting
from testbed.scenario.checks import CHECKS
from testbed.scenario.choices import AttackChoice, Choice, StageChoice
from testbed.scenario.messages import check
from testbed.scenario.model import SOURCE, Scenario
from testbed.scenario.options import Resolved, Resolver
from testbed.scenario.sections import Section
from testbed.scenario.source import Path, Source
from testbed.scenario.yaml_source import LARGEST, read

_PLACEHOLDERS: Mapping[str, Any] = {
    "version": 1,
    "name": "x",
    "catalog": {"use": "x"},
    "stack": [{"use": "x"}],
}
"""Stand-ins for required sections that are wrong, so that the others can be checked against each other."""
CUBE, LEAVE_OUT, TRANSFER = "cube", "leave_out", "transfer"
"""The key that makes a file a cube (`testbed.cube`), and what stands there beside axes."""


def load(
    path: str | FilePath,
    overrides: Iterable[str] = (),
    *,
    registry: Registry | None = None,
    only: Collection[str] | None = None,
) -> Scenario:
    """Read and check a scenario file. `overrides` are texts such as `attack.steps=10`.

    `only`: the sections that count; the others are as if left out, and may be wrong.
    Raises ScenarioError with every fault, UserError when there is no such file. Options that are paths are
    relative to the file's folder, in overrides to the working folder.
    """
    path = FilePath(path)
    text = text_of(path)
    return loads(text, overrides, file=str(path), base=path.parent, registry=registry, only=only)


def loads(
    text: str,
    overrides: Iterable[str] = (),
    *,
    file: str = "<text>",
    base: FilePath | None = None,
    registry: Registry | None = None,
    only: Collection[str] | None = None,
) -> Scenario:
    """Like `load`, for YAML in memory. `base`: the folder of relative paths (the working folder)."""
    source = read(text, file)
    if not source.spots and source.faults:  # not YAML: there is nothing to check
        raise ScenarioError(source.faults)
    if CUBE in source.data:
        raise ScenarioError([_no_cube(source)])
    return checked(source, overrides, base or FilePath(), registry or installed(), only)


def from_mapping(
    data: Mapping[str, Any],
    overrides: Iterable[str] = (),
    *,
    base: FilePath | None = None,
    registry: Registry | None = None,
) -> Scenario:
    """Like `load`, for values in the shape of a scenario file."""
    source = Source("", data=_copied(data))
    return checked(source, overrides, base or FilePath(), registry or installed())


def checked(
    source: Source,
    overrides: Iterable[str],
    base: FilePath,
    registry: Registry,
    only: Collection[str] | None = None,
) -> Scenario:
    """The scenario of values as read, after overrides; ScenarioError with every fault, those noted before included."""
    setting.apply(source, overrides)
    if only is not None:
        for key in _known_keys()[()]:
            if key not in only:
                source.data.pop(key, None)
    data = source.data
    scenario, wrong = _sections(source)
    resolver = Resolver(registry, source, base)
    resolved = _plugins(data, resolver, source)
    plugins = {path: found.plugin for path, found in resolved.items()}
    for cross_check, reads in CHECKS.items():
        if not reads & wrong:
            for path, message, hint in cross_check(scenario, plugins):
                source.fault(path, message, hint)
    _measures(scenario, wrong, plugins, source)
    if source.faults:
        raise ScenarioError(sorted(source.faults, key=lambda fault: (fault.file, fault.line, fault.column)))
    return _complete(scenario, resolved, source)


def _no_cube(source: Source) -> Fault:
    axes = source.data[CUBE]
    known = [key for key in axes if key not in (LEAVE_OUT, TRANSFER)] if isinstance(axes, Mapping) else []
    named = f" (axes {listed(known)})" if known else ""
    hint = "take the scenario.yaml of a cell of its run (RUN/cells/NAME/), or write a scenario with one stack"
    message = f"a cube is several scenarios{named}, and one is needed here"
    return source.fault_at((CUBE,), message, hint, at_key=True)


def _sections(source: Source) -> tuple[Scenario, set[str]]:
    """The scenario with stand-ins for the sections that are wrong, and which these are."""
    scenario, wrong = check(Scenario, source.data, (), source, _known_keys())
    if scenario is not None:
        return scenario, wrong
    kept = {key: value for key, value in source.data.items() if key not in wrong}
    return Scenario.model_validate({**{k: v for k, v in _PLACEHOLDERS.items() if k in wrong}, **kept}), wrong


def _known_keys(model: type[BaseModel] = Scenario, path: Path = ()) -> dict[Path, list[str]]:
    keys = {path: [field.alias or name for name, field in model.model_fields.items()]}
    for name, field in model.model_fields.items():
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, Section):
                keys |= _known_keys(kind, (*path, field.alias or name))
    return keys


def _plugins(data: Mapping[str, Any], resolver: Resolver, source: Source) -> dict[Path, Resolved]:
    """Every plug-in that the scenario names, whatever else is wrong with it."""
    wanted: list[tuple[str, Any, Path, tuple[str, ...]]] = []
    if isinstance(catalog := data.get("catalog"), Mapping):
        wanted.append(("catalogs", catalog, ("catalog",), ()))
    wanted += [("stages", stage, path, ("name", "from")) for path, stage in _stages(data)]
    if isinstance(attack := data.get("attack"), Mapping):
        wanted.append(("attacks", attack, ("attack",), ("objective",)))
        if isinstance(objective := attack.get("objective"), Mapping):
            wanted.append(("objectives", objective, ("attack", "objective"), ()))
    observers = data.get("observe")
    wanted += [
        ("observers", one, ("observe", index), ())
        for index, one in enumerate(observers if isinstance(observers, list) else ())
        if isinstance(one, Mapping)
    ]
    found: dict[Path, Resolved] = {}
    for kind, raw, path, reserved in wanted:
        if (
            isinstance(raw.get("use"), str)
            and (part := resolver.resolve(kind, raw, path, reserved)) is not None
        ):
            found[path] = part
    return found


def _stages(data: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Path and value of every stage, of the stack, surrogates and victims; all but the first may be a single one."""
    threat = data.get("threat")
    surrogates = threat.get("surrogates") if isinstance(threat, Mapping) else None
    stacks: list[tuple[Path, Any]] = [(("stack",), data.get("stack"))]
    transfer = data.get("transfer")
    victims = transfer.get("victims") if isinstance(transfer, Mapping) else None
    others: list[tuple[Path, Any]] = [
        (("threat", "surrogates", index), stack)
        for index, stack in enumerate(surrogates if isinstance(surrogates, list) else ())
    ]
    others += [
        (("transfer", "victims", name), stack)
        for name, stack in (victims if isinstance(victims, Mapping) else {}).items()
    ]
    for path, stack in others:
        if isinstance(stack, Mapping):
            yield path, stack
        stacks.append((path, stack))
    for path, stack in stacks:
        for index, stage in enumerate(stack if isinstance(stack, list) else ()):
            if isinstance(stage, Mapping):
                yield (*path, index), stage


def _measures(scenario: Scenario, wrong: set[str], plugins: Mapping[Path, Plugin], source: Source) -> None:
    """Names of measures, read by the module that computes them; what they read has to be observed."""
    if "measures" in wrong:
        return
    from testbed.measures import parse

    told = {name for one in plugins.values() if isinstance(one, ObserverPlugin) for name in one.tells}
    for index, name in enumerate(scenario.measures):
        try:
            needs = parse(name).observed
        except (UserError, ValueError) as error:
            source.fault(("measures", index), str(error))
            continue
        if needs and needs not in told and "observe" not in wrong:
            source.fault(
                ("measures", index),
                f"{name} reads {needs!r}, which nothing tells",
                f"add observe: [{{use: {needs}}}]",
            )


def _complete(scenario: Scenario, resolved: Mapping[Path, Resolved], source: Source) -> Scenario:
    """The scenario with plug-in defaults, stage names and inputs filled in, and the plug-ins themselves."""
    data = scenario.as_dict()
    data["catalog"] = resolved["catalog",].values
    data["stack"] = _filled(scenario.stack, ("stack",), resolved)
    if scenario.threat is not None and scenario.threat.surrogates:
        data["threat"]["surrogates"] = [
            _filled(stack, ("threat", "surrogates", index), resolved)
            for index, stack in enumerate(scenario.threat.surrogates)
        ]
    if scenario.transfer is not None:
        data["transfer"]["victims"] = {
            name: _filled(stack, ("transfer", "victims", name), resolved)
            for name, stack in scenario.transfer.victims.items()
        }
    if scenario.observe:
        data["observe"] = [resolved["observe", index].values for index in range(len(scenario.observe))]
    if "attack" in data:
        objective = resolved.get(("attack", "objective"))
        data["attack"] = {
            **resolved["attack",].values,
            **({"objective": objective.values} if objective else {}),
        }
    complete = Scenario.model_validate(data)
    for path, part in resolved.items():
        _choice(complete, path)._plugin = part.plugin
    _attach_own_objective(complete.attack)
    complete._source = source
    return complete


def _filled(
    stack: Sequence[StageChoice], path: Path, resolved: Mapping[Path, Resolved]
) -> list[dict[str, Any]]:
    """The stages of a stack as plain values, with their names, inputs and options complete."""
    found: list[dict[str, Any]] = []
    before = SOURCE
    for index, stage in enumerate(stack):
        part = resolved[path] if path in resolved else resolved[(*path, index)]
        name = stage.name or stage.use
        found.append({**part.values, "name": name, "from": list(stage.inputs or (before,))})
        before = name
    return found


def _choice(scenario: Scenario, path: Path) -> Choice:
    place: Any = scenario
    for step in path:
        known = isinstance(step, int) or isinstance(place, Mapping)
        place = place[step] if known else getattr(place, str(step))
    if isinstance(place, tuple):  # a surrogate or victim of one stage, written without a list
        (place,) = place
    assert isinstance(place, Choice)
    return place


def _attach_own_objective(attack: AttackChoice | None) -> None:
    """An attack may bring its objective along as an option of its own; then that one counts."""
    if attack is not None and attack.objective is not None and attack.objective._plugin is None:
        attack.objective._plugin = getattr(attack.plugin, "objective", None)


def _copied(value: Any) -> Any:
    """Plain mutable values, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(key): _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list | tuple) else value


def text_of(path: FilePath) -> str:
    """The text of a scenario file; UserError or ScenarioError where it cannot be one."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except FileNotFoundError:
        near = (
            nearest(path.name, (entry.name for entry in path.parent.glob("*.y*ml")))
            if path.parent.is_dir()
            else None
        )
        hint = f"; did you mean {path.parent / near}?" if near else ""
        raise UserError(f"no such scenario file: {path}{hint}") from None
    except OSError as error:
        raise UserError(f"cannot read the scenario {path}: {error.strerror}") from None
    if len(raw) > LARGEST:
        raise ScenarioError([Fault(f"larger than {LARGEST:,} bytes; this is no scenario", file=str(path))])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        raise ScenarioError([Fault("not UTF-8 text", "", str(path), line, column)]) from None

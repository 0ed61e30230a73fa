"""The options of a plug-in: names looked up, values checked by the plug-in itself, nested plug-ins first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from testbed.errors import PluginError, UnknownNameError, listed, nearest, shown
from testbed.protocols import Plugin
from testbed.registry import KINDS, Registry
from testbed.scenario.messages import check, described
from testbed.scenario.source import Path, Source

PATH_MARK = "path relative to the scenario file"
"""Metadata of `testbed.protocols.CatalogPath`."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A plug-in with its options checked, and the same as plain values: complete, paths as written."""

    plugin: Plugin
    values: dict[str, Any]


class Resolver:
    """Turns `{use: name, ...options}` into plug-ins; faults go to `source`. Paths are relative to `base`."""

    def __init__(self, registry: Registry, source: Source, base: FilePath) -> None:
        self.registry = registry
        self.source = source
        self.base = base

    def resolve(self, kind: str, raw: Any, path: Path, reserved: tuple[str, ...] = ()) -> Resolved | None:
        """The plug-in that `raw` names, or None with the faults noted. `reserved`: keys not its own."""
        if not isinstance(raw, Mapping):
            self.source.fault(path, f"expected {{use: {kind[:-1]}, ...}}, got {described(raw)}")
            return None
        name = raw.get("use")
        if not isinstance(name, str):
            if "use" not in raw:
                self.source.fault(
                    path, f"the key 'use' is missing (known {kind}: {listed(self.registry.names(kind))})"
                )
            else:
                self.source.fault((*path, "use"), f"expected the name of a plug-in, got {described(name)}")
            return None
        plugin = self._class(kind, name, (*path, "use"))
        return self._plugin(plugin, name, raw, path, reserved) if plugin is not None else None

    def _class(self, kind: str, name: str, path: Path) -> type[Plugin] | None:
        try:
            return self.registry.get(kind, name)
        except UnknownNameError:
            known = self.registry.names(kind)
            near = nearest(name, known)
            hint = f"did you mean {near!r}?" if near else f"known: {listed(known)}"
            self.source.fault(path, f"unknown {kind[:-1]} {shown(name)}", hint)
        except PluginError as error:
            self.source.fault(path, str(error))
        return None

    def _plugin(
        self, cls: type[Plugin], name: str, raw: Mapping[str, Any], path: Path, reserved: tuple[str, ...]
    ) -> Resolved | None:
        fields = cls.model_fields
        keys = {field.alias or key: (key, field) for key, field in fields.items()}
        options = {key: value for key, value in raw.items() if key in keys or key not in ("use", *reserved)}
        written: dict[str, Any] = {}
        broken: set[str] = set()
        for key, (_, field) in keys.items():
            if key not in options:
                continue
            if (kind := _plugin_kind(field)) is not None and options[key] is not None:
                nested = self._nested(kind, options[key], (*path, key))
                if nested is None:
                    broken.add(key)
                else:
                    options[key], written[key] = nested
            elif _is_path(field) and isinstance(options[key], str):
                options[key], written[key] = self._path(options[key], (*path, key))
            elif isinstance(options[key], Mapping) and _model(field) is not None:
                options[key], written[key] = self._paths_within(field, options[key], (*path, key))
        before = len(self.source.faults)
        plugin = self._validated(cls, name, options, broken, path, [*keys, "use", *reserved])
        if plugin is None or broken or len(self.source.faults) > before:
            return None
        return Resolved(plugin, self._values(plugin, name, keys, written))

    def _validated(
        self,
        cls: type[Plugin],
        name: str,
        options: dict[str, Any],
        broken: set[str],
        path: Path,
        known: list[str],
    ) -> Plugin | None:
        given = {key: value for key, value in options.items() if key not in broken}
        for key in broken:
            self.source.faulted.add((*path, key))
        inner = {
            (*path, field.alias or key): list(model.model_fields)
            for key, field in cls.model_fields.items()
            if (model := _model(field)) is not None
        }
        try:
            return check(cls, given, path, self.source, {path: known, **inner}, found_wrong=broken)[0]
        except Exception as error:  # a plug-in's own check may raise anything; it is third-party code
            self.source.fault(path, f"{name!r} cannot check its options: {type(error).__name__}: {error}")
            return None

    def _nested(self, kind: str, raw: Any, path: Path) -> tuple[Any, Any] | None:
        if isinstance(raw, list):
            parts = [self.resolve(kind, one, (*path, index)) for index, one in enumerate(raw)]
            found = [part for part in parts if part is not None]
            if len(found) < len(parts):
                return None
            return [part.plugin for part in found], [part.values for part in found]
        part = self.resolve(kind, raw, path)
        return None if part is None else (part.plugin, part.values)

    def _path(self, text: str, path: Path) -> tuple[str, str]:
        """Where a path leads, and how to write it down; from the command line, relative to the working folder."""
        given = FilePath(text).expanduser()
        spot = self.source.spots.get(path)
        if spot is not None and not spot[1].line and spot[1].file.startswith("--"):
            given = given.absolute()
            text = str(given)
        place = given if given.is_absolute() else (self.base / given).absolute()
        if not place.exists():
            self.source.fault(path, f"no such file or folder: {place}", _near_file(place))
        return str(place), text

    def _paths_within(
        self, field: FieldInfo, raw: Mapping[str, Any], path: Path
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The paths that a mapping of values holds, as in `_path`: the mapping with them, and they as written."""
        model, found, written = _model(field), dict(raw), {}
        for key, inner in (model.model_fields if model is not None else {}).items():
            if _is_path(inner) and isinstance(raw.get(key), str):
                found[key], written[key] = self._path(raw[key], (*path, key))
        return found, written

    def _values(
        self, plugin: Plugin, name: str, keys: Mapping[str, tuple[str, FieldInfo]], written: Mapping[str, Any]
    ) -> dict[str, Any]:
        nested = {attribute for attribute, field in keys.values() if _plugin_kind(field) is not None}
        values = plugin.model_dump(mode="json", by_alias=True, exclude=nested)
        for key, (attribute, field) in keys.items():
            if attribute in nested and key not in written:
                values[key] = self._default(_plugin_kind(field) or "", getattr(plugin, attribute))
        for key, value in written.items():
            whole = values.get(key)
            values[key] = {**whole, **value} if isinstance(whole, dict) else value
        return {"use": name, **values}

    def _default(self, kind: str, value: Any) -> Any:
        """A nested plug-in that came about by default, as it would be written."""
        if isinstance(value, list | tuple):
            return [self._default(kind, one) for one in value]
        if not isinstance(value, Plugin):
            return value
        name = self.registry.name_of(kind, type(value))
        keys = {field.alias or key: (key, field) for key, field in type(value).model_fields.items()}
        return self._values(value, name or type(value).__name__, keys, {})


def _annotations(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in get_args(annotation):
        yield from _annotations(inner)


def _plugin_kind(field: FieldInfo) -> str | None:
    """The kind of plug-in that a field takes, or None."""
    for annotation in _annotations(field.annotation):
        if isinstance(annotation, type) and issubclass(annotation, Plugin):
            for kind, base in KINDS.items():
                if issubclass(annotation, base):
                    return kind
    return None


def _model(field: FieldInfo) -> type[BaseModel] | None:
    """The mapping of values that a field takes and that is no plug-in, or None."""
    for annotation in _annotations(field.annotation):
        if (
            isinstance(annotation, type)
            and issubclass(annotation, BaseModel)
            and not issubclass(annotation, Plugin)
        ):
            return annotation
    return None


def _is_path(field: FieldInfo) -> bool:
    return PATH_MARK in field.metadata or PATH_MARK in list(_annotations(field.annotation))


def _near_file(place: FilePath) -> str:
    if not place.parent.is_dir():
        return ""
    near = nearest(place.name, (entry.name for entry in place.parent.iterdir()))
    return f"did you mean {near!r}?" if near else ""

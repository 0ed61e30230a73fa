"""YAML text → plain values with the place of each key and value, and every fault that the text itself has.

Reads events, builds no objects: no tags, no merge keys, one document; size, depth and the number of values
(aliases counted as often as they are used) are capped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from testbed.errors import Fault, shown
from testbed.scenario.scalars import Scalar, SurpriseError, resolve
from testbed.scenario.source import Path, Source, Spot, dotted

LARGEST = 1_000_000
"""Bytes that a scenario file may have."""
DEEPEST = 20
MOST_VALUES = 20_000


class _FatalError(Exception):
    """The text cannot be read any further."""

    def __init__(self, message: str, spot: Spot, path: Path = ()) -> None:
        self.fault = Fault(message, dotted(path), spot.file, spot.line, spot.column)
        super().__init__(message)


@dataclass(slots=True)
class _Node:
    value: Scalar | list[_Node] | dict[str, tuple[Spot, _Node]]
    spot: Spot
    size: int = 1
    depth: int = 1
    wrong: str = ""


def read(text: str, file: str) -> Source:
    """The values of a YAML mapping. Faults are collected in the result; nothing is raised."""
    source = Source(file)
    if len(text.encode(errors="surrogatepass")) > LARGEST:
        source.faults.append(Fault(f"larger than {LARGEST:,} bytes; this is no scenario", file=file))
        return source
    try:
        node = _Reader(text, file, source.faults).document()
        if not isinstance(node.value, dict):
            raise _FatalError("a scenario is a mapping of keys to values: start with version: 1", node.spot)
        _plant(source, (), node.spot, node)
        source.data = _value(node)
    except _FatalError as error:
        source.faults.append(error.fault)
    except yaml.YAMLError as error:
        source.faults.append(_syntax(error, text, file))
    return source


def _value(node: _Node) -> Any:
    match node.value:
        case list():
            return [_value(child) for child in node.value]
        case dict():
            return {key: _value(child) for key, (_, child) in node.value.items()}
    return node.value


def _plant(source: Source, path: Path, key: Spot, node: _Node) -> None:
    source.spots[path] = (key, node.spot)
    if node.wrong:
        source.fault(path, node.wrong)
        source.faulted.add(path)
    if isinstance(node.value, list):
        for index, child in enumerate(node.value):
            _plant(source, (*path, index), child.spot, child)
    elif isinstance(node.value, dict):
        for name, (spot, child) in node.value.items():
            _plant(source, (*path, name), spot, child)


class _Reader:
    def __init__(self, text: str, file: str, faults: list[Fault]) -> None:
        self.file = file
        self.faults = faults
        self.events: Iterator[Any] = yaml.parse(text, Loader=yaml.SafeLoader)
        self.anchors: dict[str, _Node] = {}
        self.values = 0

    def document(self) -> _Node:
        node = _Node({}, Spot(self.file, 1, 1))
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _FatalError("a second document; a scenario file holds one", self.spot(event))
            elif isinstance(event, yaml.NodeEvent):
                node = self.node(event, (), 1)
        return node

    def spot(self, event: Any) -> Spot:
        return Spot(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def node(self, event: Any, path: Path, depth: int) -> _Node:
        spot = self.spot(event)
        if isinstance(event, yaml.AliasEvent):
            known = self.anchors.get(str(event.anchor))
            if known is None:
                raise _FatalError(f"*{event.anchor} refers to nothing that comes before it", spot, path)
            self.count(known.size, depth + known.depth - 1, spot)
            return _Node(known.value, spot, known.size, known.depth, known.wrong)
        self.count(1, depth, spot)
        if event.tag not in (None, "!"):
            raise _FatalError(
                f"tags such as {shown(event.tag)} are not read; quote a text to keep it one", spot, path
            )
        if isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(spot, path, depth)
        elif isinstance(event, yaml.MappingStartEvent):
            node = self.mapping(spot, path, depth)
        else:
            node = self.scalar(event, spot)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def count(self, values: int, depth: int, spot: Spot) -> None:
        self.values += values
        if self.values > MOST_VALUES:
            raise _FatalError(f"more than {MOST_VALUES:,} values, aliases counted as often as used", spot)
        if depth > DEEPEST:
            raise _FatalError(f"nested more than {DEEPEST} deep", spot)

    def scalar(self, event: Any, spot: Spot) -> _Node:
        if event.style is not None or event.tag == "!":
            return _Node(event.value, spot)
        try:
            return _Node(resolve(event.value), spot)
        except SurpriseError as surprise:
            return _Node(event.value, spot, wrong=str(surprise))

    def sequence(self, spot: Spot, path: Path, depth: int) -> _Node:
        children: list[_Node] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            children.append(self.node(event, (*path, len(children)), depth + 1))
        return _Node(children, spot, *_extent(children))

    def mapping(self, spot: Spot, path: Path, depth: int) -> _Node:
        children: dict[str, tuple[Spot, _Node]] = {}
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self.node(event, path, depth + 1)
            if isinstance(key.value, list | dict):
                raise _FatalError("a key must be a text", key.spot, path)
            name = key.value if isinstance(key.value, str) else str(getattr(event, "value", key.value))
            child = self.node(next(self.events), (*path, name), depth + 1)
            if wrong := self.wrong_key(name, key, children):
                spot = key.spot
                self.faults.append(Fault(wrong, dotted((*path, name)), spot.file, spot.line, spot.column))
            else:
                children[name] = (key.spot, child)
        return _Node(children, spot, *_extent([child for _, child in children.values()]))

    def wrong_key(self, name: str, key: _Node, before: Mapping[str, tuple[Spot, _Node]]) -> str:
        if name in before:
            return f"duplicate key {shown(name)}, first on line {before[name][0].line}"
        if name == "<<":
            return "merge keys are not read; write the keys out"
        if key.wrong:
            return f"ambiguous key: {key.wrong}"
        if not isinstance(key.value, str):
            return f"a key must be a text; write {shown(name)} in quotes if it is one"
        return ""


def _extent(children: list[_Node]) -> tuple[int, int]:
    return 1 + sum(child.size for child in children), 1 + max((child.depth for child in children), default=0)


def _syntax(error: yaml.YAMLError, text: str, file: str) -> Fault:
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark or error.context_mark):
        message = ", ".join(part for part in (error.context, error.problem) if part)
        return Fault(f"not YAML: {message}", "", file, mark.line + 1, mark.column + 1)
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        return Fault(
            f"not YAML: the character {shown(chr(error.character))} is not allowed", "", file, line, column
        )
    return Fault(f"not YAML: {error}", "", file)

"""`catalog.yaml`: what a catalog is, which field is the name, what the attributes mean, how it is judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from catalogs.loaders.facts import FLAG, NUMBER, TEXT
from catalogs.loaders.faults import Faults, hint
from catalogs.loaders.lines import Source, label, text_lines
from testbed.errors import shown

KEYS = ("title", "name_field", "attributes", "rule", "licence")
ATTRIBUTE_KEYS = ("meaning", "unit", "type")
TYPES = {"number": NUMBER, "text": TEXT, "tags": TEXT, "flag": FLAG}


@dataclass(slots=True)
class About:
    """The content of a `catalog.yaml`. `kinds`: attribute → type in words, empty when none is declared."""

    title: str = ""
    name_field: str = ""
    rule: str = ""
    licence: str = ""
    kinds: dict[str, str] = field(default_factory=dict)


def read_about(source: Source, faults: Faults) -> About:
    """Read a `catalog.yaml`; every value is text, so `no` stays `no`."""
    file, about = label(source), About()
    before = len(faults)
    text = "\n".join(line for _, line in text_lines(source, faults))
    if len(faults) > before:
        return about
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        faults.add(file, mark.line + 1 if mark else None, f"not YAML: {getattr(error, 'problem', error)}")
        return about
    for key, line, node in _pairs(root, KEYS, file, faults):
        if key == "attributes":
            about.kinds = {
                name: _attribute(name, row, value, file, faults)
                for name, row, value in _pairs(node, None, file, faults)
            }
        elif isinstance(node, yaml.ScalarNode) and str(node.value).strip():
            setattr(about, key, str(node.value).strip())
        else:
            faults.add(file, line, f"{shown(key)} must be text")
    return about


def _attribute(name: str, line: int, node: yaml.Node, file: str, faults: Faults) -> str:
    for key, row, value in _pairs(node, ATTRIBUTE_KEYS, file, faults):
        if not isinstance(value, yaml.ScalarNode):
            faults.add(file, row, f"{shown(key)} of attribute {shown(name)} must be text")
        elif key == "type":
            if value.value in TYPES:
                return TYPES[value.value]
            faults.add(file, row, f"unknown type {shown(value.value)}{hint(value.value, TYPES)}")
            return TEXT
    faults.add(file, line, f"attribute {shown(name)} has no 'type'; known are {', '.join(map(shown, TYPES))}")
    return TEXT


def _pairs(
    node: yaml.Node | None, known: tuple[str, ...] | None, file: str, faults: Faults
) -> Iterator[tuple[str, int, yaml.Node]]:
    """Keys of a mapping with their line and value; unknown and repeated keys are faults."""
    if not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + 1 if node else None
        faults.add(file, line, "a mapping (`key: value` lines) is expected here")
        return
    seen: set[str] = set()
    for key_node, value in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in seen:
            faults.add(file, line, f"key {shown(key)} appears twice")
        elif known is not None and key not in known:
            faults.add(file, line, f"unknown key {shown(key)}{hint(key, known)}")
        else:
            yield key, line, value
        seen.add(key)

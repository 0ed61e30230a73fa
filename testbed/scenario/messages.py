"""What pydantic found → faults in plain words; conversions that a reader would not expect are faults too."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from testbed.errors import did_you_mean, listed, shown
from testbed.scenario.source import Path, Source

Checked = TypeVar("Checked", bound=BaseModel)

_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "path_type": "a path",
}
_CONVERTED = {"int_type", "float_type", "bool_type"}
_LIMIT = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("from", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("up to", "le"),
}


def check(
    model: type[Checked],
    raw: Mapping[str, Any],
    path: Path,
    source: Source,
    known: Mapping[Path, list[str]],
    *,
    found_wrong: Collection[str] = (),
) -> tuple[Checked | None, set[str]]:
    """Validate `raw`, which stands at `path`: the model or None, and the keys of `raw` that are wrong.

    `known`: path → keys that may stand there. `found_wrong`: keys left out, their faults being noted.
    """
    try:
        found: Checked | None = model.model_validate(raw)
        errors: list[ErrorDetails] = []
    except ValidationError as error:
        found, errors = None, error.errors(include_url=False)
    errors += _conversions(model, raw)
    seen: set[tuple[Path, str]] = set()
    wrong: set[str] = set()
    for detail in errors:
        if detail["type"] == "missing" and detail["loc"][0] in found_wrong:
            continue
        wrong |= {str(step) for step in detail["loc"][:1]}
        where = (*path, *_within(raw, detail["loc"], detail["type"]))
        if detail["type"] == "extra_forbidden":
            _unknown_key(where, source, known.get(where[:-1], []))
        elif (where, message := _message(detail)) not in seen:
            seen.add((where, message))
            source.fault(where, message, _hint(detail))
    return (None if errors else found), wrong


def _conversions(model: type[BaseModel], raw: Mapping[str, Any]) -> list[ErrorDetails]:
    """Where validation would turn a text or a truth value into a number: `steps: "40"`, `steps: true`.

    Pydantic's lax mode is kept as it takes lists for tuples and texts for paths; this takes back the rest.
    """
    plain = {key: value for key, value in raw.items() if not _holds_plugin(value)}
    try:
        model.model_validate_json(json.dumps(plain, default=str), strict=True)
    except ValidationError as error:
        return [
            detail
            for detail in error.errors(include_url=False)
            if detail["type"] in _CONVERTED and isinstance(detail["input"], str | int | float)
        ]
    return []


def _holds_plugin(value: Any) -> bool:
    return isinstance(value, BaseModel) or (isinstance(value, list) and any(map(_holds_plugin, value)))


def _unknown_key(where: Path, source: Source, keys: list[str]) -> None:
    hint = did_you_mean(str(where[-1]), keys)
    source.fault(where, f"unknown key {shown(where[-1])}", hint or f"known: {listed(keys)}", at_key=True)


def _within(raw: Any, loc: tuple[int | str, ...], kind: str) -> Path:
    """The part of an error's location that exists in the values as written (unions add steps)."""
    path: list[int | str] = []
    for step in loc:
        entries = dict(enumerate(raw)) if isinstance(raw, list | tuple) else raw
        if isinstance(entries, Mapping) and step in entries:
            path.append(step)
            raw = entries[step]
    if kind == "missing":
        path.append(loc[-1])
    return tuple(path)


def _message(detail: ErrorDetails) -> str:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "missing":
        return "this key is missing"
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, got {described(value)}"
    if kind in _LIMIT:
        word, key = _LIMIT[kind]
        return f"expected a number {word} {context[key]}, got {described(value)}"
    if kind in ("literal_error", "enum"):
        expected = str(context["expected"]).replace(" or ", ", ")
        return f"expected {'one of ' if ',' in expected else ''}{expected}; got {described(value)}"
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", detail["msg"]))
    if kind in ("too_short", "string_too_short"):
        return "must not be empty" if context.get("min_length") == 1 else detail["msg"]
    return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}; got {described(value)}"


def _hint(detail: ErrorDetails) -> str:
    if not isinstance(detail["input"], str):
        return ""
    if detail["type"].startswith("model_") and "Choice" in str(detail.get("ctx", {}).get("class_name")):
        return f"write {{use: {detail['input']}}}" if detail["input"].isprintable() else ""
    if detail["type"] != "literal_error":
        return ""
    expected = str(detail.get("ctx", {})["expected"])
    return did_you_mean(
        detail["input"], [word.strip("' ") for word in expected.replace(" or ", ",").split(",")]
    )


def described(value: object) -> str:
    """A value with its type, for people."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {shown(value)}"
        case list() | tuple():
            return f"a list of {len(value)}"
        case Mapping():
            return "a mapping of keys to values"
    return shown(value)

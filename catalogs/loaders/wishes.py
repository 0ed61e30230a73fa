"""Constraints and preferences as request lines have them: `["price", "<=", 150]`, `["rating", "high"]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from catalogs.judging import Extreme, Preference
from catalogs.loaders.facts import FLAG, NUMBER, TEXT
from catalogs.loaders.faults import hint
from catalogs.loaders.lines import kind
from testbed.errors import shown
from testbed.types import Constraint

OPERATORS: tuple[str, ...] = get_args(get_type_hints(Constraint)["op"])
_COMPARES = {"<=": (NUMBER,), ">=": (NUMBER,), "contains": (TEXT,), "==": (NUMBER, TEXT, FLAG)}
_COMPARES["!="] = _COMPARES["=="]


class WishError(ValueError):
    """A wish cannot be understood; the text says why."""


def constraint(raw: Any, kinds: Mapping[str, str]) -> Constraint:
    """A constraint from its JSON list; `kinds` maps known attributes to their type. Raises `WishError`."""
    if not (isinstance(raw, list) and len(raw) == 3 and isinstance(raw[0], str) and isinstance(raw[1], str)):
        raise WishError(f'must be like ["price", "<=", 150], not {shown(raw)}')
    attribute, op, value = raw
    known = _known(attribute, kinds)
    if op not in OPERATORS:
        raise WishError(f"unknown comparison {shown(op)}{hint(op, OPERATORS)}")
    if known not in _COMPARES[op]:
        raise WishError(f"{shown(op)} needs {' or '.join(_COMPARES[op])}, but {shown(attribute)} is {known}")
    if kind(value) != known:
        raise WishError(f"{shown(attribute)} is {known}, but is compared with {kind(value)}")
    if op == "contains" and len(str(value).split()) != 1:
        raise WishError(f"'contains' looks for one word, not for {shown(value)}")
    return Constraint(attribute, op, value)


def preference(raw: Any, kinds: Mapping[str, str]) -> Preference:
    """A preference from its JSON list. Raises `WishError`."""
    if not (isinstance(raw, list) and len(raw) == 2 and all(isinstance(part, str) for part in raw)):
        return constraint(raw, kinds)
    attribute, wanted = raw
    known = _known(attribute, kinds)
    if wanted not in ("high", "low"):
        raise WishError(f"unknown preference {shown(wanted)}{hint(wanted, ('high', 'low'))}")
    if known != NUMBER:
        raise WishError(f"{shown(wanted)} needs a number, but {shown(attribute)} is {known}")
    return Extreme(attribute, wanted)


def _known(attribute: str, kinds: Mapping[str, str]) -> str:
    if attribute not in kinds:
        known = hint(attribute, kinds) if kinds else "; the items have no attributes"
        raise WishError(f"unknown attribute {shown(attribute)}{known}")
    return kinds[attribute]

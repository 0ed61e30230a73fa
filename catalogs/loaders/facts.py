"""Attributes: their types, checked item by item, and facts read off displayed text such as `$1,299`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from catalogs.loaders.faults import hint
from catalogs.loaders.lines import kind
from catalogs.loaders.texts import slug
from testbed.errors import shown
from testbed.types import Attribute

NUMBER, TEXT, FLAG = "a number", "text", "true or false"

_DISPLAYED = re.compile(
    r"\s*(?:[$€£¥]|USD|EUR|GBP)?\s*(-?\d{1,15}(?:,\d{3})*(?:\.\d{1,9})?)"
    r"\s*(?:%|[^\W\d]{1,12}(?: [^\W\d]{1,12})?)?\s*"
)


@dataclass(slots=True)
class Kinds:
    """The type of each attribute: declared, or set by the first item that has it."""

    declared: bool = False
    """Whether only attributes that are there from the start are allowed."""
    of: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def faults(self, attributes: Mapping[str, Any], line: int) -> list[str]:
        """What is wrong with the attributes of one item."""
        found = []
        for key, value in attributes.items():
            have = kind(value)
            if self.declared and key not in self.of:
                found.append(f"unknown attribute {shown(key)}{hint(key, self.of)}")
                continue
            if have not in (NUMBER, TEXT, FLAG):
                found.append(f"attribute {shown(key)} must be a number, text, true or false, not {have}")
                continue
            if key not in self.of:
                self.of[key], self.lines[key] = have, line
            if have != self.of[key]:
                where = f"on line {self.lines[key]}" if key in self.lines else "in catalog.yaml"
                found.append(f"attribute {shown(key)} is {have} here but {self.of[key]} {where}")
        return found


@dataclass(frozen=True, slots=True)
class FactColumns(Sequence[Mapping[str, Attribute]]):
    """Attributes of n items kept in columns; an item's mapping is made on demand, without absent values."""

    columns: Mapping[str, Sequence[Attribute | None]]
    length: int

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Attribute]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Attribute]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Attribute] | Sequence[Mapping[str, Attribute]]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(self.length))]
        row = range(self.length)[index]
        return {key: value for key, values in self.columns.items() if (value := values[row]) is not None}

    def __iter__(self) -> Iterator[Mapping[str, Attribute]]:
        return (self[row] for row in range(self.length))


def displayed_facts(texts: Mapping[str, Sequence[str]], name_field: str) -> FactColumns:
    """Attributes read off displayed columns; keys are field names in lower case, `Ideal For` → `ideal_for`.

    A column where every text is a number, with a currency sign before it or a unit of one or two words
    behind it, is numeric. One whose texts all have at most 40 characters is kept as text, for wishes like
    `colour == red`. Other columns and the name yield no attribute.
    """
    length = len(next(iter(texts.values()), ()))
    columns: dict[str, Sequence[Attribute | None]] = {}
    for name, column in texts.items():
        key = slug(name).replace("-", "_")
        if name == name_field or key in columns:
            continue
        numbers = [displayed_number(text) if text else None for text in column]
        if all(number is not None for number, text in zip(numbers, column, strict=True) if text):
            columns[key] = numbers
        elif all(len(text) <= 40 for text in column):
            columns[key] = [text or None for text in column]
    return FactColumns(columns, length)


def displayed_number(text: str) -> float | None:
    """`$1,299` → 1299, `4.5` → 4.5, `4 cups` → 4, `2 in 1` → None. Commas are read as thousands."""
    found = _DISPLAYED.fullmatch(text)
    return float(found[1].replace(",", "")) if found else None

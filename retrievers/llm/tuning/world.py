"""What training catalogs are made of: categories, kinds of numbers, purposes and phrasings, read from `world/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

import yaml

Split = Literal["train", "test"]
CATEGORIES = ("home", "life", "held_out")
"""Files of categories."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Something that a listing has or has not. `say`: how listings put it; `ask`: how shoppers do."""

    say: tuple[str, ...]
    ask: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Number:
    """A kind of number that listings state. `more`, `less`, `cap`, `floor`: how shoppers ask, by split."""

    labels: tuple[str, ...]
    write: tuple[str, ...]
    digits: int
    more: Mapping[Split, tuple[str, ...]]
    less: Mapping[Split, tuple[str, ...]]
    cap: tuple[str, ...] = ()
    floor: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of product or service. `numbers`: range of each kind of number."""

    name: str
    plural: str
    split: Split
    numbers: Mapping[str, tuple[float, float]]
    tags: tuple[Quality, ...]
    flavour: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class World:
    """Everything that the generator draws from. `uses`, `phrases`: by split."""

    categories: Mapping[Split, tuple[Category, ...]]
    numbers: Mapping[str, Number]
    uses: Mapping[Split, tuple[Quality, ...]]
    phrases: Mapping[str, Mapping[Split, tuple[str, ...]]] = field(default_factory=dict)


@lru_cache(maxsize=1)
def world() -> World:
    """The world that comes with the package."""
    phrases = _read("phrases")
    held_out = phrases.pop("numbers_test")
    categories = [_category(entry) for name in CATEGORIES for entry in _read(name)]
    return World(
        {split: tuple(c for c in categories if c.split == split) for split in ("train", "test")},
        {name: _number(entry, held_out.get(name, {})) for name, entry in _read("numbers").items()},
        {split: tuple(map(_quality, entries)) for split, entries in _read("uses").items()},
        {
            name: {split: tuple(texts) for split, texts in entry.items()}
            if isinstance(entry, dict)
            else {"train": tuple(entry), "test": tuple(entry)}
            for name, entry in phrases.items()
        },
    )


def _read(name: str) -> Any:
    return yaml.safe_load(files(__package__).joinpath("world", f"{name}.yaml").read_text("utf-8"))


def _quality(entry: dict[str, list[str]]) -> Quality:
    return Quality(tuple(entry["say"]), tuple(entry["ask"]))


def _number(entry: dict[str, Any], held_out: dict[str, list[str]]) -> Number:
    more, less = (
        {"train": tuple(entry.get(way, ())), "test": tuple(held_out.get(way, ()))} for way in ("more", "less")
    )
    return Number(
        tuple(entry["labels"]),
        tuple(entry["write"]),
        entry["digits"],
        more,  # type: ignore[arg-type]
        less,  # type: ignore[arg-type]
        tuple(entry.get("cap", ())),
        tuple(entry.get("floor", ())),
    )


def _category(entry: dict[str, Any]) -> Category:
    return Category(
        entry["category"],
        entry["plural"],
        entry["split"],
        {name: (float(low), float(high)) for name, (low, high) in entry["numbers"].items()},
        tuple(map(_quality, entry["tags"])),
        tuple(entry["flavour"]),
        tuple(entry["names"]),
    )

"""Honest listings: what a threshold is calibrated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.seeds import derive

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.protocols import CatalogPlugin


@dataclass(frozen=True, slots=True)
class Honest:
    """A listing that nobody has tampered with: of which catalog and item, and its fields."""

    group: str
    owner: str
    fields: Mapping[str, str]


def honest(catalog: Catalog, group: str, most: int) -> list[Honest]:
    """Listings as the catalog has them, and once more with their honest text behind the longest field.

    Of a larger catalog `most` items, drawn by their ids.
    """
    chosen: Sequence[str] = catalog.ids
    if len(chosen) > most:
        chosen = sorted(chosen, key=lambda item_id: derive("honest", item_id))[:most]
    found = []
    for item_id in chosen:
        item = catalog.item(item_id)
        found.append(Honest(group, item_id, item.fields))
        if item.honest_text:
            found.append(Honest(group, item_id, with_text(item.fields, item.honest_text, catalog.name_field)))
    return found


def with_text(fields: Mapping[str, str], text: str, name_field: str) -> dict[str, str]:
    """The fields with a text behind the longest of them, the name aside."""
    others = [name for name in fields if name != name_field] or list(fields)
    if not others:
        return dict(fields)
    longest = max(others, key=lambda name: len(fields[name]))
    return {**fields, longest: f"{fields[longest]} {text}"}


def made_up() -> CatalogPlugin:
    """The catalog that thresholds are calibrated on by default: the training pages of `use: made_up`."""
    from testbed.registry import get

    plugin: CatalogPlugin = get("catalogs", "made_up").model_validate({"split": "train"})  # type: ignore[assignment]
    return plugin

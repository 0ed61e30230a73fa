"""Several catalogs as one: a shop with many departments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from testbed.catalog import Catalog
from testbed.errors import CatalogError
from testbed.protocols import CatalogPlugin
from testbed.types import Item, Request


class Joined(CatalogPlugin):
    """Several catalogs under one roof: all items are offered for every request, grades stay.

    Items and requests get the place of their catalog before their ids where two would be the same (`2:r01`). A name
    that another catalog has too, ignoring case, is followed by its id. The field of names is called as in the first.
    """

    catalogs: tuple[CatalogPlugin, ...] = Field(min_length=1)
    """The catalogs, in the order of their items."""
    asked: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    """Places, from 1, of the catalogs whose requests are asked; all when left out. The others only have their items."""
    name: str = "joined"
    """What the whole is called."""

    @field_validator("asked")
    @classmethod
    def _there(cls, asked: tuple[int, ...] | None, info: ValidationInfo) -> tuple[int, ...] | None:
        catalogs = info.data.get("catalogs", ())
        for place in asked or () if catalogs else ():
            if place > len(catalogs):
                raise ValueError(f"there is no catalog {place}; there are {len(catalogs)}")
        return asked

    def load(self) -> Catalog:
        """Load and join them. CatalogError where nothing can be asked."""
        parts = [one.load() for one in self.catalogs]
        if self.asked is not None:
            parts = [
                part if place in self.asked else replace(part, requests=(), judgements={})
                for place, part in enumerate(parts, start=1)
            ]
        label = parts[0].name_field
        ids = _labels([list(part.ids) for part in parts])
        asked = _labels([[request.id for request in part.requests] for part in parts])
        items: list[Item] = []
        requests: list[Request] = []
        judgements: dict[str, Mapping[str, int]] = {}
        names: set[str] = set()
        for place, part in enumerate(parts):
            mine, wishes = ids[place], asked[place]
            for item_id in part.ids:
                item = part.item(item_id)
                fields = {label if key == part.name_field else key: text for key, text in item.fields.items()}
                if fields.get(label, "").casefold() in names:
                    fields[label] = f"{fields[label]} ({mine[item_id]})"
                names.add(fields.get(label, "").casefold())
                items.append(replace(item, id=mine[item_id], fields=fields))
            for request in part.requests:
                requests.append(
                    replace(
                        request,
                        id=wishes[request.id],
                        history=tuple(mine[one] for one in request.history if one in mine),
                        candidates=(),
                    )
                )
                grades = part.judgements.get(request.id, {})
                judgements[wishes[request.id]] = {mine[one]: grade for one, grade in grades.items()}
        if not requests:
            raise CatalogError("joined: none of the catalogs has a request")
        rules = dict.fromkeys(part.rule for part in parts if part.rule)
        return Catalog.of(
            items,
            name=self.name,
            name_field=label,
            requests=requests,
            judgements=judgements,
            rule="; ".join(rules),
        )


def _labels(parts: list[list[str]]) -> list[dict[str, str]]:
    """Id → id in the whole, a mapping a part; those that several parts have are told apart."""
    counts: dict[str, int] = {}
    for part in parts:
        for one in part:
            counts[one] = counts.get(one, 0) + 1
    return [
        {one: one if counts[one] == 1 else f"{place}:{one}" for one in part}
        for place, part in enumerate(parts, start=1)
    ]

"""The five catalogs that come with the project; all brands, places and books in them are invented."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from importlib.resources import files
from typing import ClassVar

from catalogs.loaders.faults import hint
from catalogs.loaders.jsonl import load_folder
from testbed.catalog import Catalog
from testbed.errors import CatalogError, shown
from testbed.protocols import CatalogPlugin


class Shipped(CatalogPlugin):
    """A catalog of the project, whole or in part. Grades are those of the whole catalog in any case."""

    folder: ClassVar[str] = ""

    items: tuple[str, ...] | None = None
    """Ids of the items to keep, in catalog order; all when left out."""
    requests: tuple[str, ...] | None = None
    """Ids of the requests to keep; when left out, all that some kept item satisfies."""

    def load(self) -> Catalog:
        """Read the catalog. Raises `CatalogError` for an unknown id or a request that no kept item meets."""
        whole = load_folder(files("catalogs").joinpath("data", self.folder), name=self.folder)
        if self.items is None and self.requests is None:
            return whole
        return part(whole, self.items, self.requests)


class CoffeeMachines(Shipped):
    """Ten coffee makers from $29 to $1,899: the fixed small benchmark."""

    folder = "coffee_machines"


class Headphones(Shipped):
    """Thirty headphones: over-ear, on-ear and in-ear, wired and wireless."""

    folder = "headphones"


class Tents(Shipped):
    """Thirty tents, from solo shelters to family cabins and expedition domes."""

    folder = "tents"


class Hotels(Shipped):
    """Forty hotels in one invented seaside city."""

    folder = "hotels"


class Novels(Shipped):
    """Sixty novels of eight genres by invented authors."""

    folder = "novels"


def part(whole: Catalog, items: Iterable[str] | None, requests: Iterable[str] | None) -> Catalog:
    """Some items and requests of a catalog, with the grades of the whole; catalog order is kept."""
    kept = set(_known("item", items, whole.ids))
    asked = set(_known("request", requests, [request.id for request in whole.requests]))
    judgements = {
        request: {item_id: value for item_id, value in grades.items() if item_id in kept}
        for request, grades in whole.judgements.items()
        if request in asked
    }
    unmet = {request for request, grades in judgements.items() if not grades}
    if requests is not None and unmet:
        which = ", ".join(shown(request) for request in sorted(unmet))
        raise CatalogError(f"{whole.name}: none of the chosen items satisfies the request {which}")
    made = Catalog.of(
        (whole.item(item_id) for item_id in whole.ids if item_id in kept),
        name=whole.name,
        name_field=whole.name_field,
        requests=(request for request in whole.requests if request.id in asked - unmet),
        judgements={request: grades for request, grades in judgements.items() if grades},
        rule=whole.rule,
    )
    chosen = replace(made, file=whole.file, lines=whole.lines)
    if not chosen.ids or not chosen.requests:
        raise CatalogError(f"{whole.name}: no {'items' if not chosen.ids else 'requests'} are left")
    return chosen


def _known(what: str, wanted: Iterable[str] | None, ids: Iterable[str]) -> tuple[str, ...]:
    known = tuple(ids)
    if wanted is None:
        return known
    chosen = tuple(wanted)
    faults = [f"unknown {what} {shown(one)}{hint(one, known)}" for one in chosen if one not in known]
    if faults:
        raise CatalogError("\n".join(faults))
    return chosen

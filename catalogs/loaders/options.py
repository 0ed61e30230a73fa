"""What the loaders of plain formats share: which field is the name, where requests come from."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from catalogs.loaders.facts import NUMBER, TEXT, displayed_facts
from catalogs.loaders.lines import kind
from catalogs.loaders.requests import Requests, plain_requests, read_requests
from catalogs.loaders.table import Table
from catalogs.loaders.texts import LONGEST_FIELD
from testbed.catalog import Catalog
from testbed.protocols import CatalogPath, CatalogPlugin


class PlainFormat(CatalogPlugin):
    """A file that has fields and nothing else; attributes are read off what is displayed."""

    path: CatalogPath
    """The file."""
    id_field: str | None = None
    """The field that holds the id and is not displayed; otherwise ids are made from the names."""
    name_field: str | None = None
    """The field that holds the name; otherwise one called name or title, or the first."""
    requests: CatalogPath | tuple[str, ...] | None = None
    """A file of request lines, or the texts of requests."""
    repair_names: bool = False
    """Whether a repeated name gets the id in brackets and a missing one becomes the id: no faults then."""
    max_chars: int = Field(LONGEST_FIELD, gt=0)
    """Characters that a text may have."""

    def finish(self, table: Table) -> Catalog:
        """The catalog of a filled table, with attributes and requests. Raises `CatalogError`."""
        table.refuse_empty()
        facts = displayed_facts(table.columns, table.name_field)
        asked = Requests()
        if isinstance(self.requests, tuple):
            asked = plain_requests(self.requests, table.faults, self.max_chars)
        elif self.requests is not None:
            kinds = {key: _kind(values) for key, values in facts.columns.items()}
            asked = read_requests(
                self.requests,
                table.faults,
                ids=table.seen,
                rows=table.ids,
                attributes=facts,
                kinds=kinds,
                max_chars=self.max_chars,
            )
        return table.catalog(
            self.path.stem,
            requests=asked.requests,
            judgements=asked.judgements,
            attributes=facts if facts.columns else (),
        )


def name_among(fields: Iterable[str], id_field: str | None) -> str:
    """The field that most likely is the name: one called name or title, else the first that is not the id."""
    fields = [name for name in fields if name != id_field]
    for wanted in ("name", "title", "product", "product name"):
        for name in fields:
            if name.strip().casefold() == wanted:
                return name
    return fields[0] if fields else "Name"


def _kind(values: Iterable[object]) -> str:
    return NUMBER if any(kind(value) == NUMBER for value in values) else TEXT

"""The project's own layout: `items.jsonl`, `requests.jsonl` and `catalog.yaml` in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from catalogs.loaders.about import About, read_about
from catalogs.loaders.facts import Kinds
from catalogs.loaders.faults import Faults, unknown_keys
from catalogs.loaders.lines import Source, json_lines, kind, label
from catalogs.loaders.requests import Requests, read_requests
from catalogs.loaders.table import Table
from catalogs.loaders.texts import LONGEST_FIELD
from testbed.catalog import Catalog
from testbed.errors import shown
from testbed.protocols import CatalogPath, CatalogPlugin

KEYS = ("id", "fields", "attributes", "honest_text")


class Jsonl(CatalogPlugin):
    """A folder with items.jsonl and perhaps requests.jsonl and catalog.yaml; or one file of items."""

    path: CatalogPath
    """The folder, or a file of item lines."""
    requests: CatalogPath | None = None
    """A file of request lines; in a folder, `requests.jsonl` unless something else is named."""
    name_field: str | None = None
    """The field that holds the name; otherwise as catalog.yaml says, or the first field of the first item."""
    max_chars: int = Field(LONGEST_FIELD, gt=0)
    """Characters that a text may have."""

    def load(self) -> Catalog:
        """Read the catalog. Raises `CatalogError` with every fault."""
        return load_folder(
            self.path, requests=self.requests, name_field=self.name_field, max_chars=self.max_chars
        )


def load_folder(
    source: Source,
    *,
    name: str | None = None,
    requests: Source | None = None,
    name_field: str | None = None,
    max_chars: int = LONGEST_FIELD,
) -> Catalog:
    """A catalog from a folder in the project's layout or from one file of items."""
    faults, about, items = Faults(), About(), source
    if source.is_dir():
        items = source.joinpath("items.jsonl")
        if (settings := source.joinpath("catalog.yaml")).is_file():
            about = read_about(settings, faults)
        if requests is None and (beside := source.joinpath("requests.jsonl")).is_file():
            requests = beside
    kinds = Kinds(declared=bool(about.kinds), of=dict(about.kinds))
    table = Table(faults, label(items), name_field or about.name_field, max_chars, kinds=kinds)
    for line, raw in json_lines(items, faults):
        _add(table, line, raw)
    table.refuse_empty()
    asked = Requests()
    if requests is not None:
        asked = read_requests(
            requests,
            faults,
            ids=table.seen,
            rows=table.ids,
            attributes=table.attributes,
            kinds=kinds.of,
            max_chars=max_chars,
        )
    return table.catalog(
        name or source.name.removesuffix(".jsonl"),
        requests=asked.requests,
        judgements=asked.judgements,
        rule=about.rule,
    )


def _add(table: Table, line: int, raw: Mapping[str, Any]) -> None:
    messages = unknown_keys(raw, KEYS)
    messages += [f"{shown(key)} is missing" for key in ("id", "fields") if key not in raw]
    for key, wanted in (("id", str), ("fields", dict), ("attributes", dict), ("honest_text", str)):
        if key in raw and not isinstance(raw[key], wanted):
            expected = "text" if wanted is str else "an object"
            messages.append(f"{shown(key)} must be {expected}, not {kind(raw[key])}")
    fields = raw.get("fields")
    if isinstance(fields, dict):
        messages += [
            f"field {shown(key)} must be text, not {kind(text)}"
            for key, text in fields.items()
            if not isinstance(text, str)
        ]
    for message in messages:
        table.faults.add(table.file, line, message)
    if messages:
        if isinstance(raw.get("id"), str):
            table.seen.setdefault(raw["id"], line)
        return
    table.name_field = table.name_field or next(iter(raw["fields"]), "")
    table.add(line, raw["id"], raw["fields"], raw.get("attributes"), raw.get("honest_text", ""))

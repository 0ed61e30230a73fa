"""Items gathered in columns, checked as they come: ids, names, texts and the types of attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from catalogs.loaders.facts import Kinds
from catalogs.loaders.faults import Faults, hint
from catalogs.loaders.texts import LONGEST_FIELD, id_fault, name_key, slug, text_fault
from testbed.catalog import Catalog, Judgements
from testbed.errors import shown
from testbed.types import Attribute, Request

MOST_COLUMNS = 100


@dataclass(slots=True)
class Table:
    """The items of one file. `add` takes a row or notes why it cannot; `catalog` makes the catalog.

    `blanks`: whether a field may be there and empty (a cell of a table); otherwise that is a fault.
    `repair_names`: an item without a name is called by its id, and a name that was there before gets the id
    in brackets; otherwise both are faults. `seen`: id → line, also of rows with faults, so that one fault
    does not cause others.
    """

    faults: Faults
    file: str
    name_field: str
    max_chars: int = LONGEST_FIELD
    blanks: bool = False
    repair_names: bool = False
    kinds: Kinds = field(default_factory=Kinds)
    ids: list[str] = field(default_factory=list)
    columns: dict[str, list[str]] = field(default_factory=dict)
    attributes: list[Mapping[str, Attribute]] = field(default_factory=list)
    honest_texts: list[str] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    slugs: dict[str, int] = field(default_factory=dict)

    def add(
        self,
        line: int,
        item_id: str | None,
        fields: Mapping[str, str],
        attributes: Mapping[str, Any] | None = None,
        honest_text: str = "",
    ) -> None:
        """Take one item; without an id it gets a slug of its name."""
        written = {key: text for key, text in fields.items() if text.strip()}
        messages = self._text_faults(fields, written, honest_text)
        name = written.get(self.name_field, "")
        if item_id is None:
            item_id = self._free_slug(name) if name else ""
        elif message := self._id_fault(item_id):
            messages.append(message)
        if self.repair_names and written:
            name = self._repaired(name, item_id)
            written = {self.name_field: name} | {k: v for k, v in written.items() if k != self.name_field}
        if message := self._name_fault(line, name, written):
            messages.append(message)
        messages += self.kinds.faults(attributes or {}, line)
        if item_id:
            self.seen.setdefault(item_id, line)
        for message in messages:
            self.faults.add(self.file, line, message)
        if not messages:
            self._store(item_id, written, attributes or {}, honest_text)

    def refuse_empty(self) -> None:
        """Raise `CatalogError` where there are no items; nothing can be said of requests then."""
        if not self.ids and not self.faults:
            self.faults.add(self.file, None, "there are no items")
            self.faults.stop()

    def catalog(
        self,
        name: str,
        *,
        requests: Sequence[Request] = (),
        judgements: Judgements | None = None,
        attributes: Sequence[Mapping[str, Attribute]] | None = None,
        rule: str = "",
    ) -> Catalog:
        """The catalog of all rows; raises `CatalogError` with every fault that was noted."""
        self.refuse_empty()
        self.faults.stop()
        if attributes is None:
            attributes = tuple(self.attributes) if any(self.attributes) else ()
        return Catalog(
            name=name,
            ids=tuple(self.ids),
            columns={key: tuple(texts) for key, texts in self.columns.items()},
            name_field=self.name_field,
            requests=tuple(requests),
            judgements=judgements or {},
            attributes=attributes,
            honest_texts=tuple(self.honest_texts) if any(self.honest_texts) else (),
            rule=rule,
            file=self.file,
            lines=self.seen,
        )

    def _store(
        self, item_id: str, fields: Mapping[str, str], attributes: Mapping[str, Attribute], honest_text: str
    ) -> None:
        for key in fields:
            if key not in self.columns:
                self.columns[key] = [""] * len(self.ids)
        for key, texts in self.columns.items():
            texts.append(fields.get(key, ""))
        self.ids.append(item_id)
        self.attributes.append(attributes)
        self.honest_texts.append(honest_text)

    def _text_faults(
        self, fields: Mapping[str, str], written: Mapping[str, str], honest_text: str
    ) -> list[str]:
        new = [key for key in written if key not in self.columns]
        if new and len(self.columns) + len(new) > MOST_COLUMNS:
            return [f"more than {MOST_COLUMNS} different field names so far; {shown(new[0])} is new here"]
        found = [
            f"field {shown(key)} {fault}"
            for key, text in written.items()
            if (
                fault := text_fault(text, self.max_chars) or (text_fault(key, 200) and "has an unusable name")
            )
        ]
        if not self.blanks:
            empty = [key for key in fields if key not in written and key != self.name_field]
            found += [f"field {shown(key)} is empty; leave it out or write text" for key in empty]
        if honest_text and (fault := text_fault(honest_text, self.max_chars)):
            found.append(f"'honest_text' {fault}")
        return found

    def _id_fault(self, item_id: str) -> str | None:
        if item_id in self.seen:
            return f"duplicate id {shown(item_id)}, first on line {self.seen[item_id]}"
        return id_fault(item_id)

    def _name_fault(self, line: int, name: str, written: Mapping[str, str]) -> str | None:
        if not written:
            return "the item has no text"
        if not name:
            return f"the item has no {shown(self.name_field)} (its name){hint(self.name_field, written)}"
        if len(name.splitlines()) > 1:
            return f"the name {shown(name)} has more than one line"
        first = self.names.setdefault(name_key(name), line)
        return None if first == line else f"duplicate name {shown(name)}, first on line {first}"

    def _free_slug(self, name: str) -> str:
        base = tried = slug(name)
        while tried in self.seen:
            self.slugs[base] = self.slugs.get(base, 1) + 1
            tried = f"{base}-{self.slugs[base]}"
        return tried

    def _repaired(self, name: str, item_id: str) -> str:
        name = " ".join(name.split()) or item_id
        return f"{name} ({item_id})" if name_key(name) in self.names else name

"""Plain JSON lines of fields, such as the public catalogs of the strategic-text-sequence paper have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from catalogs.loaders.faults import Faults, hint
from catalogs.loaders.lines import Literal, json_lines, kind, label
from catalogs.loaders.options import PlainFormat, name_among
from catalogs.loaders.table import Table
from testbed.catalog import Catalog
from testbed.errors import shown


class FieldLines(PlainFormat):
    """JSON lines whose keys are the displayed fields: {"Name": ..., "Price": "$29", "Rating": 4.1, ...}."""

    def load(self) -> Catalog:
        """Read the file. Raises `CatalogError` with every fault.

        Numbers are displayed as they are written (`4.10` stays `4.10`), true and false as yes and no, lists
        joined by commas; null counts as absent.
        """
        faults = Faults()
        table = Table(
            faults, label(self.path), self.name_field or "", self.max_chars, repair_names=self.repair_names
        )
        for line, raw in json_lines(self.path, faults, literal=True):
            fields, messages = _displayed(raw)
            table.name_field = table.name_field or name_among(fields, self.id_field)
            item_id = fields.pop(self.id_field, "") if self.id_field else None
            if self.id_field and not item_id:
                messages.append(
                    f"the item has no {shown(self.id_field)} (its id){hint(self.id_field, fields)}"
                )
            for message in messages:
                faults.add(table.file, line, message)
            if not messages:
                table.add(line, item_id, fields)
        return self.finish(table)


def _displayed(raw: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    fields: dict[str, str] = {}
    messages = []
    for key, value in raw.items():
        parts = value if isinstance(value, list) else [value]
        texts = [_text(part) for part in parts]
        if value is None or value == []:
            continue
        if None in texts:
            messages.append(f"field {shown(key)} must be text or a number, not {kind(value)}")
        fields[key] = ", ".join(text for text in texts if text)
    return fields, messages


def _text(value: Any) -> str | None:
    match value:
        case bool():
            return "yes" if value else "no"
        case Literal():
            return str(value)
        case str():
            return value
    return None

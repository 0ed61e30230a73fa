"""Tables as comma-separated values with a header row."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from pydantic import Field

from catalogs.loaders.faults import Faults, hint
from catalogs.loaders.lines import Source, label, text_lines
from catalogs.loaders.options import PlainFormat, name_among
from catalogs.loaders.table import Table
from testbed.catalog import Catalog
from testbed.errors import shown


class Csv(PlainFormat):
    """A table with a header row, UTF-8; each column is a field, an empty cell an absent one."""

    delimiter: str = Field(",", min_length=1, max_length=1)
    """The character between cells."""

    def load(self) -> Catalog:
        """Read the table. Raises `CatalogError` with every fault."""
        faults = Faults()
        rows = csv_rows(self.path, faults, self.delimiter)
        file = label(self.path)
        line, header = next(rows, (1, []))
        for message in self._header_faults(header):
            faults.add(file, line, message)
        table = Table(
            faults,
            file,
            self.name_field or name_among(header, self.id_field),
            self.max_chars,
            blanks=True,
            repair_names=self.repair_names,
        )
        if faults:
            return table.catalog(self.path.stem)
        for line, cells in rows:
            if len(cells) != len(header):
                faults.add(file, line, f"the row has {len(cells)} cells, the header has {len(header)}")
                continue
            fields = dict(zip(header, cells, strict=True))
            table.add(line, fields.pop(self.id_field) if self.id_field else None, fields)
        return self.finish(table)

    def _header_faults(self, header: list[str]) -> list[str]:
        if not header:
            return []
        found = [f"column {number} has no name" for number, name in enumerate(header, 1) if not name.strip()]
        twice = {name for name in header if name.strip() and header.count(name) > 1}
        found += [f"the column {shown(name)} appears twice" for name in sorted(twice)]
        for option, name in (("id_field", self.id_field), ("name_field", self.name_field)):
            if name is not None and name not in header:
                found.append(f"there is no column {shown(name)} ({option}){hint(name, header)}")
        return found


def csv_rows(
    source: Source, faults: Faults, delimiter: str, *, quoting: bool = True
) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line where they begin; blank lines are skipped, bad quotes are a fault and end it.

    `quoting` False takes quotation marks as they are, as tab-separated judgements need it.
    """
    lines = (text + "\n" for _, text in text_lines(source, faults))
    reader = csv.reader(
        lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE, strict=True
    )
    begins = 1
    try:
        for cells in reader:
            if cells:
                yield begins, [cell.strip() for cell in cells]
            begins = reader.line_num + 1
    except csv.Error as error:
        faults.add(label(source), begins, f"not a table from here on: {error}")

"""Parquet tables as numbered rows; a missing column or a cell of another type is a fault, not an exception."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalogs.loaders.faults import Faults, hint
from catalogs.loaders.lines import kind, label, missing
from testbed.errors import shown


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one table, numbered from 1."""

    source: Path
    rows: tuple[tuple[int, Mapping[str, Any]], ...] = ()

    def __iter__(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        return iter(self.rows)


def parquet_rows(source: Path, columns: Mapping[str, str], faults: Faults) -> Rows:
    """Rows with these columns, each of the kind given in words; rows with a wrong or empty cell are left out."""
    if missing(source, faults):
        return Rows(source)
    import polars

    try:
        have = list(polars.read_parquet_schema(source))
    except (OSError, polars.exceptions.PolarsError) as error:
        faults.add(label(source), None, f"not a Parquet file: {str(error).splitlines()[0]}")
        return Rows(source)
    lacking = [name for name in columns if name not in have]
    for name in lacking:
        faults.add(label(source), None, f"there is no column {shown(name)}{hint(name, have)}")
    if lacking:
        return Rows(source)
    try:
        table = polars.read_parquet(source, columns=list(columns))
    except (OSError, polars.exceptions.PolarsError) as error:
        faults.add(label(source), None, f"cannot be read: {str(error).splitlines()[0]}")
        return Rows(source)
    kept = []
    for number, row in enumerate(table.iter_rows(named=True), start=1):
        wrong = {name: wanted for name, wanted in columns.items() if _kind(row[name]) != wanted}
        for name, wanted in wrong.items():
            faults.add(label(source), number, f"{name}: must be {wanted}, not {_kind(row[name])}")
        if not wrong:
            kept.append((number, row))
    if not kept and not faults:
        faults.add(label(source), None, "there are no rows")
    return Rows(source, tuple(kept))


def json_cell(row: Mapping[str, Any], column: str, wanted: type, file: str, line: int, faults: Faults) -> Any:
    """What a cell of JSON text holds, a list or an object as asked for; None and a fault otherwise."""
    try:
        value = json.loads(row[column], parse_constant=_constant)
    except RecursionError:
        faults.add(file, line, f"{column}: nested too deeply")
        return None
    except ValueError as error:
        faults.add(file, line, f"{column}: not JSON: {error}")
        return None
    if not isinstance(value, wanted):
        what = "a list" if wanted is list else "an object"
        faults.add(file, line, f"{column}: must be {what}, not {kind(value)}")
        return None
    return value


def _constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _kind(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return "empty" if value is None else kind(value)

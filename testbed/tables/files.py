"""Tables of a run directory: what they are built from and where they go."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import UserError
from testbed.records import AttackRecord, EvaluationRecord, Record, read_records
from testbed.store import TRACES, file_name
from testbed.tables.build import build
from testbed.tables.examples import Traces

if TYPE_CHECKING:
    import polars


def read_manifest(directory: str | Path) -> dict[str, Any]:
    """manifest.json of a run directory; UserError naming the file when it is missing or not an object."""
    path = Path(directory) / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; is this a run directory?") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    if not isinstance(manifest, dict):
        raise UserError(f"{path}: not a JSON object")
    return manifest


def read_traces(directory: str | Path, attacks: Iterable[AttackRecord]) -> Traces:
    """The traces of some attacks; missing files and torn lines are passed over, they only feed a chart."""
    found: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for attack in attacks:
        path = Path(directory) / TRACES / f"{file_name(attack.target)}-{attack.seed}.jsonl"
        lines: list[Mapping[str, Any]] = []
        if path.is_file():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    part = json.loads(line)
                except ValueError:
                    continue
                if isinstance(part, dict):
                    lines.append(part)
        found[attack.target, attack.seed] = lines
    return found


def tables_of(directory: str | Path, *, measures: Iterable[str] = ()) -> dict[str, Any]:
    """tables.json of a run directory, built anew from its records; nothing is written."""
    records = read_records(Path(directory) / "trials.jsonl")
    attacks = [record for record in records if isinstance(record, AttackRecord)]
    return build(records, read_manifest(directory), read_traces(directory, attacks), measures=measures)


def write_tables(directory: str | Path, *, measures: Iterable[str] = ()) -> dict[str, Any]:
    """Builds and writes tables.json and results.parquet of a run directory; returns the tables."""
    tables = tables_of(directory, measures=measures)
    text = json.dumps(tables, ensure_ascii=True, allow_nan=False, indent=1) + "\n"
    _replace(Path(directory) / "tables.json", text.encode())
    write_results(directory)
    return tables


def write_results(directory: str | Path) -> Path:
    """Writes results.parquet: one row per ranking (columns in docs/schemas.md)."""
    path = Path(directory) / "results.parquet"
    partial = path.with_suffix(".parquet.tmp")
    frame(read_records(Path(directory) / "trials.jsonl")).write_parquet(partial)
    os.replace(partial, path)
    return path


def frame(records: Iterable[Record]) -> polars.DataFrame:
    """One row per ranking with the target's rank; costs become columns `cost_<unit>`."""
    import polars as pl

    rankings = [record for record in records if isinstance(record, EvaluationRecord)]
    units = sorted({unit for record in rankings for unit in record.cost})
    rows = [_flat(record) | {f"cost_{unit}": record.cost.get(unit) for unit in units} for record in rankings]
    text, whole = pl.String(), pl.Int64()
    schema: dict[str, pl.DataType] = {
        **dict.fromkeys(("key", "split", "source", "victim", "target", "request"), text),
        **dict.fromkeys(("order", "slot"), whole),
        "arm": text,
        **dict.fromkeys(("seed", "replicate", "rank", "listed"), whole),
        "status": text,
        "note": text,
        "ranking": pl.List(pl.String()),
        "scores": pl.List(pl.Float64()),
        "pool": pl.List(pl.String()),
        **{f"cost_{unit}": pl.Float64() for unit in units},
    }
    return pl.DataFrame(rows, schema=schema, orient="row", strict=False)


def _flat(record: EvaluationRecord) -> dict[str, Any]:
    names = (
        "key",
        "split",
        "source",
        "victim",
        "target",
        "request",
        "order",
        "slot",
        "arm",
        "seed",
        "replicate",
    )
    rank = record.ranking.index(record.target) + 1 if record.target in record.ranking else None
    return {name: getattr(record, name) for name in names} | {
        "rank": rank,
        "listed": len(record.ranking),
        "status": record.status,
        "note": record.note,
        "ranking": list(record.ranking),
        "scores": None if record.scores is None else list(record.scores),
        "pool": list(record.pool),
    }


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".tmp")
    partial.write_bytes(content)
    os.replace(partial, path)

"""Tables of a run: levels, effects with intervals and tests, harm, costs, examples, and a verdict."""

from testbed.tables.build import SCHEMA, build
from testbed.tables.files import frame, read_manifest, read_traces, tables_of, write_results, write_tables

__all__ = [
    "SCHEMA",
    "build",
    "frame",
    "read_manifest",
    "read_traces",
    "tables_of",
    "write_results",
    "write_tables",
]

"""Measures of ranking quality and of manipulability; `parse(name)` finds one (formulas: docs/measures.md)."""

from testbed.measures.base import Change, Level, Measure, Paired, Seen, Summary
from testbed.measures.names import names, parse

__all__ = ["Change", "Level", "Measure", "Paired", "Seen", "Summary", "names", "parse"]

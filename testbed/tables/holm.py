"""Holm's correction over the cells of the primary measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from testbed.measures import Change, Measure
from testbed.statistics import holm
from testbed.tables.row import Row
from testbed.tables.run import ALL

DEFAULT_PRIMARY = "lift@1"


def primary(measures: Sequence[Measure]) -> str:
    """The first lift that the scenario asks for, else lift@1."""
    lifts = (one.name for one in measures if isinstance(one, Change) and one.section == "effect")
    return next(lifts, DEFAULT_PRIMARY)


def corrected(rows: Sequence[Row], measure: str) -> list[Row]:
    """Rows with `p_holm` in the family: effects of the primary measure on single targets, per selection.

    A family holds every contrast (arms against clean, the attack against controls) of every target. Pooled
    rows and other measures stay uncorrected and must be read as exploratory.
    """
    rows = list(rows)
    for selection in dict.fromkeys(row.selection for row in rows):
        family = [
            place
            for place, row in enumerate(rows)
            if row.section == "effect"
            and row.measure == measure
            and row.target != ALL
            and row.selection == selection
            and row.p is not None
        ]
        adjusted = holm([row.p for place in family if (row := rows[place]).p is not None])
        for place, p in zip(family, adjusted, strict=True):
            rows[place] = replace(rows[place], p_holm=p)
    return rows

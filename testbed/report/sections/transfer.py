"""Texts found on one model and measured on others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from testbed.report.charts.matrix import Cell, matrix
from testbed.report.numbers import number, probability, with_interval
from testbed.report.page import Figure, Section, Table
from testbed.report.source import Source
from testbed.report.text import name
from testbed.tables.row import whose_p
from testbed.tables.transfer import LEVEL, SECTION, parties
from testbed.tables.transfer import matrix as cells_of

LEAD = (
    "A row is a victim, a column the stack whose searches found the texts. Every cell compares the same requests in "
    "the same orders on that victim, with and without the text: means over targets and attack seeds, with 95 % "
    "intervals. Below zero the text harms the listing that it was written for."
)


def transfer(source: Source) -> list[Section]:
    """The matrix of sources and victims; no section where no text travels."""
    sources, victims = parties(source.section("transfer"))
    measure = source.measure if source.measure in ("lift@1", "lift@3") else "lift@1"
    found = cells_of(source.tables["rows"], measure)
    if not found:
        return []
    grid = [[_cell(found.get((one, victim))) for one in sources] for victim in victims]
    chart = matrix(
        grid,
        [name(victim, 24) for victim in victims],
        [name(one, 16) for one in sources],
        label=f"{measure} by victim and source of the text",
        salt="transfer",
    )
    caption = f"{measure} in points: rows are victims, columns the source of the text."
    head = [
        "victim",
        "texts found on",
        "first when clean, %",
        "first with the text, %",
        f"{measure}, points",
        "p",
        "pairs",
    ]
    rows = [
        [
            name(victim),
            name(one),
            with_interval(_level(source, victim, None), "share"),
            with_interval(_level(source, victim, one), "share"),
            with_interval(found.get((one, victim)), "points"),
            probability((found.get((one, victim)) or {}).get("p")),
            number((found.get((one, victim)) or {}).get("n"), "count"),
        ]
        for victim in victims
        for one in sources
    ]
    table = Table(head, rows, "Sources and victims", words=2)
    lead = f"{LEAD} {whose_p(found.values())}".strip()
    return [Section("transfer", "Transfer", lead, figures=[Figure(chart, caption)], tables=[table])]


def _cell(row: Mapping[str, Any] | None) -> Cell:
    if row is None or row.get("estimate") is None:
        return Cell(None, "", "")
    told = with_interval(row, "points")
    estimate, _, bounds = told.partition(" ")
    return Cell(float(row["estimate"]), estimate, bounds)


def _level(source: Source, victim: str, one: str | None) -> Mapping[str, Any] | None:
    for row in source.rows(section=SECTION, measure=LEVEL, victim=victim, target="all"):
        if row.get("source") == one:
            return row
    return None

"""Where the target stood before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from testbed.report.charts.ranks import SHADES, grouped, stacked
from testbed.report.charts.shift import shift
from testbed.report.numbers import number
from testbed.report.page import Figure, Section, Swatch, Table
from testbed.report.source import ATTACK, CLEAN, Source, arm_label

MOST_PANELS = 8
NOTHING = "No target was ranked under two arms, so there is no before and after."


def ranks(source: Source) -> Section:
    """Distribution of the target's rank per arm and target."""
    title = "Rank before and after"
    shifts: Mapping[str, Mapping[str, Any]] = source.tables["rank_shift"]
    if not shifts:
        return Section("ranks", title, missing=NOTHING)
    levels = source.tables["rank_levels"]
    figures, rows = [], []
    for place, (target, arms) in enumerate(shifts.items()):
        bars = {}
        for arm, counts in (
            (CLEAN, _marginal(arms, 1)),
            *((arm, _marginal({arm: arms[arm]}, 0)) for arm in arms),
        ):
            found = grouped(counts, levels)
            total = sum(found.values()) or 1
            bars[arm_label(arm, 15)] = {level: amount / total for level, amount in found.items()}
            shares = [number(amount / total, "share") for amount in found.values()]
            rows.append([source.name_of(target), arm_label(arm), *shares, number(total, "count")])
        if place < MOST_PANELS:
            figures.append(Figure(stacked(source.name_of(target, 44), bars, salt=f"ranks-{place}")))
    legend = [Swatch(level, "accent", shade, level == "unlisted") for level, shade in SHADES.items()]
    lead = (
        "Share of test rankings, in per cent, that put the target at each rank. "
        "Unlisted is a level of its own and never counted as a number."
    )
    table = Table(
        [
            "target",
            "arm",
            *(f"rank {level}" if level != "unlisted" else level for level in SHADES),
            "rankings",
        ],
        rows,
        "Shares of ranks in per cent",
        "Clean rankings are counted once per pair, so every arm stands beside the same situations.",
        words=2,
    )
    return Section("ranks", title, lead + _cut(len(shifts)), legend, figures, [table])


def _marginal(arms: Mapping[str, Any], axis: int) -> list[int]:
    """Sums over columns (axis 1: clean) or rows (axis 0: the arm); clean from the attack's pairs if there."""
    counts = arms.get(ATTACK) or next(iter(arms.values()))
    return [sum(row) for row in counts] if axis else [sum(column) for column in zip(*counts, strict=True)]


def shifts(source: Source) -> Section:
    """Counts of rank before × rank after, per target."""
    title = "Rank shifts"
    found = {target: arms[ATTACK] for target, arms in source.tables["rank_shift"].items() if ATTACK in arms}
    if not found:
        return Section(
            "shifts", title, missing="No attack was compared with clean rankings, so no ranks shifted."
        )
    levels: Sequence[str] = source.tables["rank_levels"]
    figures = [
        Figure(shift(source.name_of(target, 44), counts, levels, arm="attack", salt=f"shift-{place}"))
        for place, (target, counts) in enumerate(list(found.items())[:MOST_PANELS])
    ]
    rows = [
        [
            source.name_of(target),
            arm_label(arm),
            *(number(moves.get(move), "share") for move in MOVES),
            number(moves.get("n"), "count"),
        ]
        for target, arms in source.tables["transitions"].items()
        for arm, moves in arms.items()
    ]
    table = Table(
        ["target", "arm", *MOVES, "pairs"], rows, "Shares of pairs in per cent", words=2, folded=False
    )
    lead = (
        "Number of pairs by the target's rank when clean (row) and under attack (column). "
        "The dotted diagonal is no change; left of it the target rose, right of it it fell."
    )
    return Section("shifts", title, lead + _cut(len(found)), figures=figures, tables=[table])


MOVES = ("promoted", "demoted", "unchanged", "entered", "dropped")


def _cut(targets: int) -> str:
    return f" Charts show the first {MOST_PANELS} of {targets} targets." if targets > MOST_PANELS else ""

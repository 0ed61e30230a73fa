"""Where the target went: ranks before × after, shares of pairs that moved, and who was pushed down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from testbed.measures import Seen, parse
from testbed.measures.exposure import at_rank
from testbed.measures.exposure_taken import concentration
from testbed.tables.pairs import Outcomes, Pairs, paired
from testbed.tables.row import Row
from testbed.tables.run import ATTACK, CLEAN, Run

UNLISTED = "unlisted"
MOVES = ("promoted", "demoted", "unchanged", "entered", "dropped")
MOST_RIVALS = 50


def rank_levels(run: Run) -> list[str]:
    """Labels of the rank levels of a run: every rank up to 12, or tens, and `unlisted`."""
    deepest = max((max(len(one.ranking), len(one.pool)) for one in run.tests), default=0)
    if deepest <= 12:
        return [*(str(rank) for rank in range(1, deepest + 1)), UNLISTED]
    return [*(str(rank) for rank in range(1, 11)), "11-20", "21-50", "51+", UNLISTED]


def shift_tables(outcomes: Outcomes) -> tuple[dict[str, Any], dict[str, Any]]:
    """(rank_shift, transitions): target → arm → counts before × after, and shares of pairs, against clean."""
    run = outcomes.run
    levels = rank_levels(run)
    shifts: dict[str, Any] = {}
    moves: dict[str, Any] = {}
    for target in run.targets:
        for arm, against in run.contrasts:
            pairs = paired(outcomes.index, [target], arm, against) if against == CLEAN else None
            if pairs is None or not pairs.after:
                continue
            counts = np.zeros((len(levels), len(levels)), dtype=int)
            for old, new in zip(pairs.before, pairs.after, strict=True):
                ranks = (outcomes.seen[old].rank, outcomes.seen[new].rank)
                counts[_level(ranks[0], levels), _level(ranks[1], levels)] += 1
            shifts.setdefault(target, {})[arm] = counts.tolist()
            moves.setdefault(target, {})[arm] = {
                name: float(outcomes.effect(parse(name), pairs).mean()) for name in MOVES
            } | {"n": len(pairs.after)}
    return shifts, moves


def rivals(outcomes: Outcomes, targets: Sequence[str]) -> tuple[list[dict[str, Any]], list[Row]]:
    """Exposure each rival lost to the attack, those that lost most first, and rows of its concentration."""
    run = outcomes.run
    found: list[dict[str, Any]] = []
    rows: list[Row] = []
    if ATTACK not in run.arms or CLEAN not in run.arms:
        return found, rows
    for target in targets:
        pairs = paired(outcomes.index, [target], ATTACK, CLEAN)
        if not pairs.after:
            continue
        before, after = (_exposures(outcomes.seen, part) for part in (pairs.before, pairs.after))
        items = [item for item in dict.fromkeys((*before, *after)) if item != target]
        blank = np.zeros(len(pairs.after))
        old = {item: before.get(item, blank) for item in items}
        new = {item: after.get(item, blank) for item in items}
        means = {item: float((old[item] - new[item]).mean()) for item in items}
        for item in sorted(items, key=lambda one: (-abs(means[one]), one))[:MOST_RIVALS]:
            interval = run.intervals.of(pairs.cells(old[item] - new[item]), (-1, 1))
            found.append(
                {
                    "target": target,
                    "item": item,
                    "name": run.name_of(item),
                    "before": float(old[item].mean()),
                    "after": float(new[item].mean()),
                    "taken": interval.estimate,
                    "low": interval.low,
                    "high": interval.high,
                    "method": interval.method,
                }
            )
        rows += _concentration_rows(run, target, means, pairs)
    return sorted(found, key=lambda one: (targets.index(one["target"]), -one["taken"], one["item"])), rows


def _concentration_rows(run: Run, target: str, means: Mapping[str, float], pairs: Pairs) -> Iterator[Row]:
    worst, most, spread = concentration(means)
    if worst is None:
        return
    note = f"lost by {run.name_of(worst)}"
    for measure, value, words in (
        ("exposure_taken_largest", most, note),
        ("exposure_taken_gini", spread, "0: all rivals lose alike; near 1: one loses everything"),
    ):
        yield Row(
            section="harm",
            measure=measure,
            target=target,
            arm=ATTACK,
            against=CLEAN,
            estimate=value,
            n=len(pairs.after),
            blocks=len(pairs.layout.blocks),
            note=words,
        )


def _exposures(seen: Sequence[Seen], rows: Sequence[int]) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    found: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
    for place, row in enumerate(rows):
        for rank, item in enumerate(seen[row].ranking, start=1):
            if item not in found:
                found[item] = np.zeros(len(rows))
            found[item][place] = at_rank(rank)
    return found


def _level(rank: int | None, levels: Sequence[str]) -> int:
    if rank is None:
        return len(levels) - 1
    if rank <= 10 or "51+" not in levels:
        return rank - 1
    return 10 + (rank > 20) + (rank > 50)

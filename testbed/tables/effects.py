"""Rows of levels and effects: every measure, per arm and per contrast, per target and pooled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from testbed.measures import Change, Level, Measure, Paired
from testbed.statistics import Cells, TestResult, mcnemar, sign_flip
from testbed.tables.pairs import Outcomes, Pairs, paired, single
from testbed.tables.row import BEST, MEAN, Row, interval_fields
from testbed.tables.run import ALL, ATTACK, Run

Best = Mapping[str, int | None]
"""Target → the attack seed that validation chose."""


def level_rows(outcomes: Outcomes, measures: Sequence[Measure], best: Best) -> Iterator[Row]:
    """One row per level, arm and target (and pooled); attacks also for their best seed."""
    run, index = outcomes.run, outcomes.index
    levels = [measure for measure in measures if isinstance(measure, Level)]
    for arm in run.arms:
        pairs = single(index, _targets(run), arm)
        for level in levels:
            cells = pairs.cells(outcomes.level(level)[list(pairs.after)])
            for selection, target, part in cuts(run, pairs, cells, best if arm == ATTACK else {}):
                interval = run.intervals.of(part, level.bounds, binary=level.binary)
                if interval.n:
                    yield Row(
                        section=level.section,
                        measure=level.name,
                        target=target,
                        arm=arm,
                        selection=selection,
                        **interval_fields(interval),
                    )


def effect_rows(outcomes: Outcomes, measures: Sequence[Measure], best: Best) -> Iterator[Row]:
    """One row per measure, contrast and target (and pooled); attacks also for their best seed."""
    run, index = outcomes.run, outcomes.index
    for arm, against in run.contrasts:
        pairs = paired(index, run.targets, arm, against)
        for measure in measures:
            if not is_effect(measure):
                continue
            cells = pairs.cells(outcomes.effect(measure, pairs))
            for selection, target, part in cuts(run, pairs, cells, best if arm == ATTACK else {}):
                interval = run.intervals.of(part, effect_bounds(measure), binary=measure.binary)
                if not interval.n:
                    continue
                name = f"{measure.name}/{arm}/{against}/{selection}/{target}"
                test = tested(part, measure.binary, run.rng, name) if _signed(measure) else None
                yield Row(
                    section="effect" if measure.section == "level" else measure.section,
                    measure=measure.name,
                    target=target,
                    arm=arm,
                    against=against,
                    selection=selection,
                    **interval_fields(interval, test),
                )


def effect_bounds(measure: Measure) -> tuple[float, float] | None:
    """Bounds of a single effect: a difference of levels within (0, 1) lies within (−1, 1)."""
    if measure.bounds is None or not isinstance(measure, Level):
        return measure.bounds
    width = measure.bounds[1] - measure.bounds[0]
    return -width, width


def tested(
    cells: Cells, binary: bool, rng: Callable[[str], np.random.Generator], name: str
) -> TestResult | None:
    """Sign flips of whole blocks; for one block alone McNemar (binary values) or flips of its pairs."""
    cells = cells.trimmed()
    if len(cells.targets) != 1:
        return sign_flip(cells.block_means.tolist(), rng(f"flip/{name}"))
    values = cells.values[cells.known]
    if binary and np.isin(values, (-1.0, 0.0, 1.0)).all():
        return mcnemar(int((values > 0).sum()), int((values < 0).sum()))
    return sign_flip(values.tolist(), rng(f"flip/{name}"))


def is_effect(measure: Measure) -> bool:
    """top@k appears as lift@k; other levels as their difference."""
    return isinstance(measure, Level | Change | Paired) and not measure.name.startswith("top@")


def _signed(measure: Measure) -> bool:
    return measure.signed if isinstance(measure, Paired) else True


def _targets(run: Run) -> Sequence[str]:
    return run.targets or ("",)


def cuts(run: Run, pairs: Pairs, cells: Cells, best: Best) -> Iterator[tuple[str, str, Cells]]:
    """(selection, target, cells): all seeds, then the chosen ones; pooled, then each target alone."""
    selections = {MEAN: list(range(len(pairs.layout.blocks)))}
    if best:
        selections[BEST] = pairs.blocks(list(best.items()))
    for selection, chosen in selections.items():
        if not chosen:
            continue
        yield selection, ALL, Cells(cells.values[chosen], tuple(cells.targets[row] for row in chosen))
        for target in run.targets:
            rows = [row for row in chosen if pairs.layout.blocks[row][0] == target]
            if rows:
                yield selection, target, Cells(cells.values[rows], (0,) * len(rows))

"""Stage by stage: was the target still there, and was it first?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from testbed.records import EvaluationRecord, StageRank
from testbed.stack import SOURCE
from testbed.tables.effects import Best, cuts
from testbed.tables.pairs import Outcomes, paired, single
from testbed.tables.row import Row, interval_fields
from testbed.tables.run import ATTACK, Run


def survival_rows(outcomes: Outcomes, best: Best) -> Iterator[Row]:
    """`survives:<stage>` (let through) and `first:<stage>` per arm, and the difference to clean."""
    run, index = outcomes.run, outcomes.index
    if not run.targets:
        return
    for stage in stages(run):
        for name, values in _values(outcomes, stage).items():
            for arm, against in [*((arm, None) for arm in run.arms), *run.contrasts]:
                if against is None:
                    pairs = single(index, run.targets, arm)
                    cells = pairs.cells(values[list(pairs.after)])
                else:
                    pairs = paired(index, run.targets, arm, against)
                    cells = pairs.cells(values[list(pairs.after)] - values[list(pairs.before)])
                bounds = (0.0, 1.0) if against is None else (-1.0, 1.0)
                for selection, target, part in cuts(run, pairs, cells, best if arm == ATTACK else {}):
                    interval = run.intervals.of(part, bounds, binary=True)
                    if interval.n:
                        yield Row(
                            section="survival",
                            measure=f"{name}:{stage}",
                            target=target,
                            arm=arm,
                            against=against,
                            selection=selection,
                            **interval_fields(interval),
                        )


def stages(run: Run) -> tuple[str, ...]:
    """Names of the stages, in the order in which records list them."""
    return tuple(dict.fromkeys(step.stage for record in run.tests for step in record.stages))


def survival_counts(run: Run) -> list[dict[str, Any]]:
    """Per arm, target and stage: rankings, those with the target before and after it, and first after."""
    counts: dict[tuple[str, str, str], list[int]] = {}
    sources = _sources(run)
    for record in run.tests:
        if record.target is None:
            continue
        for step, entered in _entered(record, sources):
            tally = counts.setdefault((record.arm, record.target, step.stage), [0, 0, 0, 0])
            for place, yes in enumerate((True, entered, step.rank_out is not None, step.rank_out == 1)):
                tally[place] += yes
    return [
        {"arm": arm, "target": target, "stage": stage, "n": n, "in": before, "out": after, "first": first}
        for (arm, target, stage), (n, before, after, first) in counts.items()
    ]


def losses(run: Run) -> list[dict[str, Any]]:
    """Where the target was lost, per arm and target: rankings by the stages that dropped it, none where it is listed.

    Stages side by side that all dropped it are named together; one whose listing another one found did not lose it.
    """
    counts: Counter[tuple[str, str, tuple[str, ...]]] = Counter()
    sources = _sources(run)
    for record in run.tests:
        if record.target is None or not record.stages:
            continue
        dropped: tuple[str, ...] = ()
        for step, entered in _entered(record, sources):
            if step.rank_out is not None:
                dropped = ()
            elif entered:
                alone = step.rank_in is not None or step.stage not in sources
                dropped = (step.stage,) if alone else (*dropped, step.stage)
        counts[record.arm, record.target, dropped] += 1
    return [
        {"arm": arm, "target": target, "stages": list(dropped), "n": n}
        for (arm, target, dropped), n in counts.items()
    ]


def _entered(record: EvaluationRecord, sources: frozenset[str]) -> Iterator[tuple[StageRank, bool]]:
    """Each stage with whether it was shown the target."""
    for position, step in enumerate(record.stages):
        yield step, step.rank_in is not None or position == 0 or step.stage in sources


def _sources(run: Run) -> frozenset[str]:
    """Stages that are shown the whole catalog."""
    stack = run.manifest.get("stack")
    stages = [one for one in stack if isinstance(one, Mapping)] if isinstance(stack, list) else []
    return frozenset(str(one.get("name")) for one in stages if SOURCE in (one.get("inputs") or ()))


def _values(outcomes: Outcomes, stage: str) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    ranks = [
        next(
            (
                step.rank_out if step.rank_out is not None else 0
                for step in record.stages
                if step.stage == stage
            ),
            -1,
        )
        for record in outcomes.index.records
    ]
    out = np.array(ranks)
    return {
        "survives": np.where(out < 0, np.nan, (out > 0).astype(np.float64)),
        "first": np.where(out < 0, np.nan, (out == 1).astype(np.float64)),
    }

"""Best of R: the attack seed that did best on the validation situations, per target."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from testbed.measures import Level, parse
from testbed.tables.run import ATTACK, Run


def best_seeds(run: Run) -> Mapping[str, int | None]:
    """Target → the seed with the highest validation top-1 rate, then exposure, then margin, then lowest seed.

    A target with one seed has no choice. A target with several seeds and no validation rankings is left out.
    """
    records = [record for record in run.validations if record.arm == ATTACK and record.target is not None]
    seen = run.seen(records)
    scores = [_level(name).of(seen) for name in ("top@1", "exposure", "margin")]
    rows: defaultdict[tuple[str, int | None], list[int]] = defaultdict(list)
    for row, record in enumerate(records):
        rows[record.target or "", record.seed].append(row)
    chosen: dict[str, int | None] = {}
    for target in run.targets:
        tested = {record.seed for record in run.tests if record.target == target and record.arm == ATTACK}
        candidates = sorted((seed for one, seed in rows if one == target and seed in tested), key=_order)
        if len(tested) == 1:
            chosen[target] = next(iter(tested))
        elif candidates:
            # max keeps the first of equals, so ties go to the lowest seed.
            chosen[target] = max(
                candidates, key=lambda seed: tuple(_mean(values[rows[target, seed]]) for values in scores)
            )
    return chosen


def _level(name: str) -> Level:
    measure = parse(name)
    assert isinstance(measure, Level)
    return measure


def _mean(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    known = values[~np.isnan(values)]
    return round(float(known.mean()), 12) if len(known) else float("-inf")


def _order(seed: int | None) -> int:
    return -1 if seed is None else seed

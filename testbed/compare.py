"""Two or more runs side by side: differences in the same situations, with intervals.

The first run is the base. A level (`top@1` under the attack) is compared ranking by ranking; an effect
(`lift@1`) pair by pair, which makes it a difference of differences: what a defence took away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from testbed.errors import UserError, listed, shown
from testbed.measures import Level, Measure, Paired, parse
from testbed.records import read_records
from testbed.seeds import rng_for
from testbed.statistics import Cells, Intervals, Layout, holm
from testbed.tables.build import chosen_measures
from testbed.tables.effects import effect_bounds, is_effect, tested
from testbed.tables.files import read_manifest
from testbed.tables.holm import primary
from testbed.tables.pairs import Outcomes, Pairs, paired, single
from testbed.tables.row import Row, interval_fields, plain
from testbed.tables.run import ALL, CLEAN, Index, Run

SCHEMA = 1
Key = tuple[str, int | None, str, int]
"""(target, attack seed, request, order)."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One row: the value of the run and of the base over the same pairs, and their difference."""

    run: str
    row: Row
    base_value: float
    run_value: float

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values; `estimate` is run − base."""
        return {
            "run": self.run,
            **self.row.as_json(),
            "base_value": plain(self.base_value),
            "run_value": plain(self.run_value),
        }


def compare(directories: Sequence[str | Path], *, measures: Sequence[str] = ()) -> dict[str, Any]:
    """The comparison (docs/schemas.md) of two or more run directories, paired by situation.

    Pairs by (target, attack seed, request, order) on the test split. UserError when catalogs differ, when a
    presentation order differs under the same number, or when no situation is shared.
    """
    if len(directories) < 2:
        raise UserError("compare needs two or more run directories")
    runs = [_read(directory) for directory in directories]
    names = _names(directories)
    return compare_runs(runs, names, measures=measures)


def compare_runs(
    runs: Sequence[Run], names: Sequence[str], *, measures: Sequence[str] = ()
) -> dict[str, Any]:
    """Like `compare`, for runs in memory; `names` tell them apart in the rows."""
    with threadpool_limits(limits=1):
        return _compared(runs, names, measures)


def _compared(runs: Sequence[Run], names: Sequence[str], measures: Sequence[str]) -> dict[str, Any]:
    base, others = runs[0], runs[1:]
    wanted = chosen_measures(base.manifest.get("measures", ()), measures, bool(base.targets))
    main = primary([parse(name) for name in measures] or wanted)
    rows: list[Compared] = []
    notes: list[str] = []
    for run, name in zip(others, names[1:], strict=True):
        notes += [f"{name}: {note}" for note in _check(base, run, names[0], name)]
        found = list(_rows(Outcomes(base, Index(base.tests)), Outcomes(run, Index(run.tests)), name, wanted))
        if not found:
            raise UserError(f"{names[0]} and {name} share no test situation; nothing can be paired")
        rows += found
    return {
        "schema": SCHEMA,
        "base": _about(base, names[0]),
        "runs": [_about(run, name) for run, name in zip(others, names[1:], strict=True)],
        "primary": main,
        "rows": [row.as_json() for row in _corrected(rows, main)],
        "notes": notes,
    }


def _rows(base: Outcomes, run: Outcomes, name: str, measures: Sequence[Measure]) -> Iterator[Compared]:
    both = (base, run)
    targets = [target for target in base.run.targets if target in run.run.targets] or [""]
    intervals = Intervals(_rng(base.run, run.run))
    for arm in (arm for arm in base.run.arms if arm in run.run.arms):
        layouts = [single(side.index, targets, arm) for side in both]
        for level in (measure for measure in measures if isinstance(measure, Level)):
            values = [
                _by_key(side, pairs, side.level(level)[list(pairs.after)])
                for side, pairs in zip(both, layouts, strict=True)
            ]
            yield from _differences(both, intervals, name, level, effect_bounds(level), (arm, None), values)
    if targets == [""]:
        return
    for arm, against in (pair for pair in base.run.contrasts if pair in run.run.contrasts):
        layouts = [paired(side.index, targets, arm, against) for side in both]
        for measure in (measure for measure in measures if is_effect(measure)):
            values = [
                _by_key(side, pairs, side.effect(measure, pairs))
                for side, pairs in zip(both, layouts, strict=True)
            ]
            bounds = effect_bounds(measure)
            if bounds is not None:
                bounds = (bounds[0] - bounds[1], bounds[1] - bounds[0])
            yield from _differences(both, intervals, name, measure, bounds, (arm, against), values)


def _differences(
    both: tuple[Outcomes, Outcomes],
    intervals: Intervals,
    name: str,
    measure: Measure,
    bounds: tuple[float, float] | None,
    place: tuple[str, str | None],
    values: Sequence[Mapping[Key, float]],
) -> Iterator[Compared]:
    """Rows of one measure, pooled and per target, over the keys that both runs have."""
    base, other = values
    shared = [key for key in base if key in other]
    targets = dict.fromkeys(target for target, *_ in shared)
    for target in (ALL, *(targets if list(targets) != [""] else ())):
        keys = [key for key in shared if target in (ALL, key[0])]
        if not keys:
            continue
        old, new = (np.array([side[key] for key in keys]) for side in values)
        cells = _cells(keys, new - old)
        # A difference of differences has steps of up to 2, so the floor for rare events does not fit it.
        interval = intervals.of(cells, bounds, binary=measure.binary, floor=place[1] is None)
        test = None
        if not isinstance(measure, Paired) or measure.signed:
            label = f"{name}/{measure.name}/{place}/{target}"
            test = tested(cells, measure.binary, _rng(both[0].run, both[1].run), label)
        row = Row(
            section="effect" if place[1] is not None and measure.section == "level" else measure.section,
            measure=measure.name,
            target=target,
            arm=place[0],
            against=place[1],
            **interval_fields(interval, test),
        )
        yield Compared(name, row, float(old.mean()), float(new.mean()))


def _by_key(side: Outcomes, pairs: Pairs, values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[Key, float]:
    """Mean value per key; replicates are averaged and undefined values left out."""
    found: dict[Key, list[float]] = {}
    for row, (block, _, _), value in zip(pairs.after, pairs.place, values.tolist(), strict=True):
        if value == value:
            record = side.index.records[row]
            target, seed = pairs.layout.blocks[block]
            found.setdefault((target, seed, record.request, record.order), []).append(value)
    return {key: sum(group) / len(group) for key, group in found.items()}


def _cells(keys: Sequence[Key], values: np.ndarray[Any, np.dtype[np.float64]]) -> Cells:
    layout = Layout.of(
        [(target, seed) for target, seed, *_ in keys], [(request, order) for *_, request, order in keys]
    )
    blocks = {block: place for place, block in enumerate(layout.blocks)}
    requests = {request: place for place, request in enumerate(layout.requests)}
    filled = np.full(layout.shape, np.nan)
    for (target, seed, request, order), value in zip(keys, values.tolist(), strict=True):
        filled[blocks[target, seed], requests[request], layout.order_index[request, order]] = value
    return Cells(filled, layout.targets)


def _corrected(rows: Sequence[Compared], measure: str) -> list[Compared]:
    """Holm over the cells of the primary measure: every run, single target and contrast with clean."""
    rows = list(rows)
    family = [
        place
        for place, one in enumerate(rows)
        if one.row.measure == measure
        and one.row.against == CLEAN
        and one.row.target != ALL
        and one.row.p is not None
    ]
    for place, p in zip(family, holm([rows[place].row.p or 0.0 for place in family]), strict=True):
        rows[place] = replace(rows[place], row=replace(rows[place].row, p_holm=p))
    return rows


def _check(base: Run, run: Run, base_name: str, name: str) -> list[str]:
    """UserError when situations do not mean the same thing in both runs; notes about what only one has."""
    prints = [str(one.section("catalog").get("fingerprint", "")) for one in (base, run)]
    if prints[0] != prints[1]:
        raise UserError(
            f"{base_name} and {name} were run on different catalogs (fingerprints {shown(prints[0])} and "
            f"{shown(prints[1])}); their rankings cannot be paired"
        )
    slots = [_slots(one) for one in (base, run)]
    for key in (key for key in slots[0] if key in slots[1]):
        if slots[0][key] != slots[1][key]:
            target, request, order = key
            raise UserError(
                f"{base_name} and {name} show target {shown(target)} for request {shown(request)} in order "
                f"{order} in different slots ({slots[0][key]} and {slots[1][key]}); "
                "their orders cannot be paired"
            )
    notes = []
    alone = [len(mine.keys() - theirs.keys()) for mine, theirs in (slots, slots[::-1])]
    if any(alone) and slots[0].keys() & slots[1].keys():
        notes.append(f"{alone[0]} situations are only in the base and {alone[1]} only in this run; left out")
    arms = [arm for arm in dict.fromkeys((*base.arms, *run.arms)) if (arm in base.arms) != (arm in run.arms)]
    if arms:
        notes.append(f"arms in one run only are left out: {listed(arms)}")
    return notes


def _slots(run: Run) -> dict[tuple[str, str, int], int | None]:
    return {(one.target or "", one.request, one.order): one.slot for one in run.tests}


def _about(run: Run, name: str) -> dict[str, Any]:
    stages = [stage.get("name", "") for stage in run.manifest.get("stack", ()) if isinstance(stage, Mapping)]
    return {
        "run": name,
        "name": str(run.manifest.get("name", "")),
        "scenario_hash": str(run.manifest.get("scenario_hash", "")),
        "stack": stages,
        "state": str(run.manifest.get("state", "")),
    }


def _names(directories: Sequence[str | Path]) -> list[str]:
    """Directory names, with as much of the path as tells them apart."""
    paths = [Path(directory).resolve() for directory in directories]
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in directories]


def _read(directory: str | Path) -> Run:
    return Run.of(read_records(Path(directory) / "trials.jsonl"), read_manifest(directory))


def _rng(base: Run, run: Run) -> Any:
    hashes = [str(one.manifest.get("scenario_hash", "")) for one in (base, run)]
    return lambda name: rng_for("compare", *hashes, name)

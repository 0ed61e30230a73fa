"""Records and manifest in, tables.json out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from threadpoolctl import threadpool_limits

from testbed.errors import UserError
from testbed.measures import Change, Level, Measure, Summary, parse
from testbed.records import Record
from testbed.tables.diagnostics import diagnostics
from testbed.tables.effects import effect_rows, level_rows
from testbed.tables.examples import Traces, convergence, examples
from testbed.tables.holm import corrected, primary
from testbed.tables.order import order_rows, slots
from testbed.tables.pairs import Outcomes
from testbed.tables.row import plain
from testbed.tables.run import ATTACK, CLEAN, Index, Run
from testbed.tables.search import cost_rows, search_rows, survival_curve, times_to_first
from testbed.tables.selection import best_seeds
from testbed.tables.shifts import rank_levels, rivals, shift_tables
from testbed.tables.survival import losses, survival_counts, survival_rows
from testbed.tables.transfer import transfer_rows
from testbed.tables.verdict import power_table, verdict

SCHEMA = 1
ALWAYS = (
    *("top@1", "top@3", "exposure", "target_RR", "listed", "margin"),
    *("lift@1", "lift@3", "promoted", "demoted", "unchanged", "net", "entered", "dropped"),
    *("nDCG@10", "RR", "harm", "kendall", "exposure_taken", "utility_loss", "violation@1"),
)
"""Measures that every run gets, besides those that its scenario names."""


def build(
    records: Iterable[Record],
    manifest: Mapping[str, Any],
    traces: Traces | None = None,
    *,
    measures: Iterable[str] = (),
) -> dict[str, Any]:
    """The content of tables.json (docs/schemas.md) as plain JSON values; a pure function of its arguments.

    `measures`: names to compute besides those of the manifest and those that every run gets.
    """
    # One thread: many small products, where threads cost more than they bring, and sums that repeat exactly.
    with threadpool_limits(limits=1):
        return _build(Run.of(records, manifest), traces or {}, measures)


def _build(run: Run, traces: Traces, measures: Iterable[str]) -> dict[str, Any]:
    outcomes = Outcomes(run, Index(run.tests))
    wanted, notes = _measures(run.manifest.get("measures", ()))
    chosen = chosen_measures(run.manifest.get("measures", ()), measures, bool(run.targets))
    best = best_seeds(run)
    main = primary(wanted)
    bystanders, concentration = rivals(outcomes, run.targets)
    rows = [
        *level_rows(outcomes, chosen, best),
        *effect_rows(outcomes, chosen, best),
        *concentration,
        *order_rows(run),
        *survival_rows(outcomes, best),
        *search_rows(run),
        *cost_rows(run),
    ]
    rows = corrected(rows, main)
    shifts, moves = shift_tables(outcomes)
    times = times_to_first(run)
    tables = {
        "schema": SCHEMA,
        "run": _about(run),
        "verdict": verdict(run, rows, main),
        "rows": [row.as_json() for row in (*rows, *transfer_rows(run))],
        "best_of_validation": dict(best),
        "rank_levels": rank_levels(run),
        "rank_shift": shifts,
        "transitions": moves,
        "rivals": bystanders,
        "slots": slots(run),
        "survival": survival_counts(run),
        "lost": losses(run),
        "statuses": _statuses(run),
        "time_to_first": {"attacks": times, "curve": survival_curve(times)},
        "diagnostics": diagnostics(outcomes),
        "convergence": convergence(run, traces),
        "examples": examples(outcomes, best),
        "power": power_table(run, rows),
        "notes": [*notes, *_notes(run, best)],
    }
    return dict(plain(tables))


def chosen_measures(named: Iterable[str], more: Iterable[str], attacked: bool) -> list[Measure]:
    """What is computed: the measures of the manifest, those asked for besides, and those every run gets."""
    wanted, _ = _measures(named)
    return _complete([*wanted, *(parse(name) for name in (*more, *ALWAYS))], attacked)


def _measures(names: Iterable[str]) -> tuple[list[Measure], list[str]]:
    """The measures of a manifest; a name that this version does not know becomes a note."""
    found, notes = [], []
    for name in names:
        try:
            found.append(parse(str(name)))
        except UserError as error:
            notes.append(f"left out: {error}")
    return found, notes


def _complete(measures: Sequence[Measure], attacked: bool) -> list[Measure]:
    """Each measure once; lift@k brings top@k and the other way round. Only quality without targets."""
    found: dict[str, Measure] = {}
    for measure in measures:
        parts = [measure]
        if isinstance(measure, Change):
            parts = [measure, measure.level]
        elif measure.name.startswith("top@"):
            parts = [measure, parse(measure.name.replace("top", "lift"))]
        for part in parts:
            needs_no_target = part.section == "quality" or part.name.startswith("violation")
            if not isinstance(part, Summary) and (attacked or (isinstance(part, Level) and needs_no_target)):
                found.setdefault(part.name, part)
    return list(found.values())


def _about(run: Run) -> dict[str, Any]:
    manifest = run.manifest
    situations = {(one.request, one.order) for one in run.tests}
    return {
        "name": manifest.get("name", ""),
        "scenario_hash": manifest.get("scenario_hash", ""),
        "state": manifest.get("state", ""),
        "catalog": dict(run.section("catalog")),
        "stack": [stage.get("name", "") for stage in manifest.get("stack", ()) if isinstance(stage, Mapping)],
        "attack": manifest.get("attack"),
        "threat": manifest.get("threat"),
        "targets": {target: run.name_of(target) for target in run.targets},
        "arms": list(run.arms),
        "seeds": sorted({attack.seed for attack in run.attacks}),
        "test": {
            "situations": len(situations),
            "requests": len({request for request, _ in situations}),
            "orders": len({order for _, order in situations}),
            "rankings": len(run.tests),
        },
    }


def _statuses(run: Run) -> dict[str, dict[str, int]]:
    """Arm → status → number of test rankings, failed trials included."""
    counts: dict[str, Counter[str]] = {}
    for record in run.evaluations:
        if record.split == "test":
            counts.setdefault(record.arm, Counter())[record.status] += 1
    return {arm: dict(sorted(tally.items())) for arm, tally in counts.items()}


def _notes(run: Run, best: Mapping[str, int | None]) -> list[str]:
    notes = []
    notes += [
        f"The attack on {attack.target} with seed {attack.seed} failed ({attack.note}); "
        "this seed is left out of every estimate."
        for attack in run.attacks
        if attack.status == "error"
    ]
    notes += [
        f"The attack on {attack.target} with seed {attack.seed} wrote nothing (ended by: {attack.stopped}); "
        "its attack arm is the clean arm."
        for attack in run.attacks
        if attack.status == "ok" and attack.idle
    ]
    failed = sum(one.status == "error" for one in run.evaluations)
    if failed:
        notes.append(f"{failed} rankings failed and are left out of every estimate; `statuses` counts them.")
    if run.manifest.get("state") not in (None, "finished"):
        notes.append(f"The run is not finished (state: {run.manifest.get('state')}).")
    if ATTACK in run.arms and "clean_again" not in run.arms:
        notes.append("No clean_again arm: for a deterministic stack it would equal clean.")
    if ATTACK in run.arms and not run.controls:
        notes.append("No control arm: the effect of the text cannot be told from that of any text.")
    if 0 < len(run.targets) < 3 and ATTACK in run.arms:
        notes.append("Fewer than 3 targets: pooled intervals speak of these targets, not of others.")
    unchosen = [target for target in run.targets if ATTACK in run.arms and target not in best]
    if unchosen:
        notes.append(f"No validation rankings to choose a seed by for {', '.join(unchosen)}.")
    if CLEAN not in run.arms and run.tests:
        notes.append("No clean arm: effects cannot be computed.")
    return notes

"""Runs a scenario: trials in plan order into a run directory, resumable after any interruption."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import StopRun
from testbed.on_processes import Processes
from testbed.plan import AttackTrial, EvaluationTrial, Trial
from testbed.records import AttackRecord, Record
from testbed.resume import failures, forget_failed, is_complete, put_in_order, refuse_another, refuse_changes
from testbed.store import RunDirectory
from testbed.workers import Done, Executor, Tell, Workers, perform_all
from testbed.world import World, build, unread

if TYPE_CHECKING:
    from testbed.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Events:
    """What a caller may want to be told while a run goes on."""

    planned: Callable[[Sequence[Trial], int], None] = lambda trials, finished: None
    step: Tell = lambda trial, step, objective: None
    finished: Callable[[Done], None] = lambda done: None


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended: its directory and the keys of what failed."""

    run: RunDirectory
    failed: tuple[str, ...] = ()


def run(
    scenario: Scenario,
    where: Path,
    *,
    scenario_text: str | None = None,
    jobs: int = 1,
    executor: Executor = "processes",
    limit: int | None = None,
    restart: bool = False,
    retry_failed: bool = False,
    argv: Sequence[str] = (),
    events: Events | None = None,
    processes: Processes | None = None,
) -> Summary:
    """Run what is not there yet and return the directory.

    `where`: the run directory; one that holds another scenario is refused (UserError). `jobs`: workers
    of the `executor` (processes, or Ray), each with its own copy of the models; the records are the same whatever
    their number and place. `restart` forgets
    what is there, `retry_failed` only what ended in an error; with an attack all that was measured of its target.
    `processes`: those of an earlier run in place of new `jobs`, which takes less time.
    """
    directory = RunDirectory(where)
    with directory.locked():
        before = directory.manifest if directory.exists else None
        if before is not None:
            refuse_another(scenario, limit, before, where)
            if restart:
                directory.clear()
                before = None
            elif retry_failed:
                forget_failed(directory)
        if before is not None and before["state"] == "finished":
            records = directory.recover()
            if is_complete(scenario, limit, records):
                return Summary(directory, failures(records))
        text = scenario_text if scenario_text is not None else scenario.to_yaml()
        with nullcontext(processes) if processes is not None else Processes(jobs) as kept:
            workers = Workers(executor, kept)
            return _run(scenario, directory, before, text, workers, limit, argv, events or Events())


def _run(
    scenario: Scenario,
    directory: RunDirectory,
    before: Mapping[str, Any] | None,
    scenario_text: str,
    workers: Workers,
    limit: int | None,
    argv: Sequence[str],
    events: Events,
) -> Summary:
    from testbed.manifest import describe

    threads = None if before is None else int(before["threads"])
    world = build(scenario, limit=limit, threads=threads, run=directory.path)
    manifest = describe(world, argv, before["started"] if before else _now()) | {"limit": limit}
    if before is not None:
        refuse_changes(manifest, before, directory.path)
    if told := unread(scenario, world.catalog):
        warnings.warn(told, stacklevel=2)
    directory.prepare(scenario_text)
    directory.write_manifest(manifest)
    try:
        records = _work(world, directory, workers, limit, events)
    except (KeyboardInterrupt, StopRun):
        directory.write_manifest({**manifest, "state": "interrupted"})
        raise
    except BaseException:
        directory.write_manifest({**manifest, "state": "failed"})
        raise
    put_in_order(directory, world.plan)
    manifest |= {"spending": directory.spending} if directory.spending else {}
    directory.write_manifest({**manifest, "state": "finished", "finished": _now()})
    return Summary(directory, failures(records))


def _work(
    world: World, directory: RunDirectory, workers: Workers, limit: int | None, events: Events
) -> list[Record]:
    """Do what is missing, attacks before what is measured of them; all records, old and new."""
    records: list[Record] = list(directory.recover())
    known = {record.key for record in records}
    trials = world.plan.trials
    todo = [trial for trial in trials if not known.issuperset(trial.lines)]
    events.planned(trials, len(trials) - len(todo))
    for kind in (AttackTrial, EvaluationTrial):
        found = {record.key: record for record in records if isinstance(record, AttackRecord)}
        chosen = [trial for trial in todo if isinstance(trial, kind)]
        for done in perform_all(world, chosen, found, workers, limit, events.step):
            fresh = [record for record in done.records if record.key not in known]
            if done.trace and isinstance(done.trial, AttackTrial):
                directory.write_trace(
                    done.trial.target.item_id, done.trial.seed, done.trace, source=done.trial.source
                )
            directory.append(fresh)
            directory.add_timing(done.trial.key, done.seconds)
            records += fresh
            known |= {record.key for record in fresh}
            events.finished(done)
    return records


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

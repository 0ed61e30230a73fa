"""Runs a scenario: trials in plan order, inline or in processes, resumable after any interruption."""

from __future__ import annotations

import datetime
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.queues import Queue
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import UserError
from testbed.language.precision import get_threads, set_threads
from testbed.plan import AttackTrial, EvaluationTrial, Trial, plan
from testbed.records import AttackRecord, EvaluationRecord, Record
from testbed.store import RunDirectory
from testbed.trial import run_attack, run_evaluation
from testbed.world import World, build, load_catalog

if TYPE_CHECKING:
    from testbed.scenario import Scenario

Found = Mapping[tuple[str, int], AttackRecord]


@dataclass(frozen=True, slots=True)
class Done:
    """What a trial gave: its records in line order, its trace, and the time it took."""

    trial: Trial
    records: Sequence[Record]
    trace: Sequence[Mapping[str, Any]]
    seconds: float


@dataclass(frozen=True, slots=True)
class Events:
    """What a caller may want to be told while a run goes on."""

    planned: Callable[[Sequence[Trial], int], None] = lambda trials, finished: None
    step: Callable[[Trial, int, float | None], None] = lambda trial, step, objective: None
    finished: Callable[[Done], None] = lambda done: None


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended: its directory and the keys of trials that failed."""

    run: RunDirectory
    failed: tuple[str, ...] = field(default=())


def run(
    scenario: Scenario,
    where: Path,
    *,
    scenario_text: str | None = None,
    jobs: int = 1,
    limit: int | None = None,
    restart: bool = False,
    retry_failed: bool = False,
    argv: Sequence[str] = (),
    events: Events | None = None,
) -> Summary:
    """Run what is not there yet and return the directory.

    `where`: the run directory; one that holds another scenario is refused (UserError). `jobs`: processes,
    each with its own copy of the models; the records are the same whatever their number. `restart` forgets
    what is there, `retry_failed` only attacks that ended in an error, with what was measured of their targets.
    """
    events = events or Events()
    directory = RunDirectory(where)
    with directory.locked():
        before = directory.manifest if directory.exists else None
        if before is not None:
            _refuse_another(scenario, limit, before, where)
            if restart:
                directory.clear()
                before = None
            elif retry_failed:
                _forget_failed(directory)
        if before is not None:
            done = _finished(scenario, directory, limit) if before["state"] == "finished" else None
            if done is not None:
                return done
        return _run(scenario, directory, before, scenario_text, jobs, limit, argv, events)


def _finished(scenario: Scenario, directory: RunDirectory, limit: int | None) -> Summary | None:
    """The summary of a run that has every line of its plan; found without loading a model."""
    catalog = load_catalog(scenario)
    deterministic = all(choice.plugin.deterministic for choice in scenario.stack)
    lines = {
        key
        for trial in plan(scenario, catalog, deterministic=deterministic, limit=limit).trials
        for key in trial.lines
    }
    records = directory.recover()
    return Summary(directory, _failed(records)) if lines == {record.key for record in records} else None


def _run(
    scenario: Scenario,
    directory: RunDirectory,
    before: Mapping[str, Any] | None,
    scenario_text: str | None,
    jobs: int,
    limit: int | None,
    argv: Sequence[str],
    events: Events,
) -> Summary:
    from testbed.manifest import describe

    world = build(scenario, limit=limit, threads=None if before is None else int(before["threads"]))
    manifest = describe(world, argv, before["started"] if before else _now()) | {"limit": limit}
    if before is not None:
        _refuse_changes(manifest, before, directory.path)
    directory.prepare(scenario_text if scenario_text is not None else scenario.to_yaml())
    directory.write_manifest(manifest)
    try:
        failed = _work(world, directory, directory.recover(), jobs, limit, events)
    except KeyboardInterrupt:
        directory.write_manifest({**manifest, "state": "interrupted"})
        raise
    except BaseException:
        directory.write_manifest({**manifest, "state": "failed"})
        raise
    _in_plan_order(world, directory)
    directory.write_manifest({**manifest, "state": "finished", "finished": _now()})
    return Summary(directory, failed)


def _forget_failed(directory: RunDirectory) -> None:
    """Drop attacks that failed, and every ranking of their targets: controls are as long as the attacks' texts."""
    records = directory.recover()
    failed = {
        record.key for record in records if isinstance(record, AttackRecord) and record.status == "error"
    }
    targets = {record.target for record in records if record.key in failed}
    directory.rewrite(
        record
        for record in records
        if record.key not in failed and (isinstance(record, AttackRecord) or record.target not in targets)
    )


def _in_plan_order(world: World, directory: RunDirectory) -> None:
    """Lines stand in plan order already, unless some were forgotten and done again."""
    order = {
        key: place for place, key in enumerate(key for trial in world.plan.trials for key in trial.lines)
    }
    records = directory.recover()
    places = [order[record.key] for record in records]
    if places != sorted(places):
        directory.rewrite(sorted(records, key=lambda record: order[record.key]))


def _work(
    world: World,
    directory: RunDirectory,
    have: Sequence[Record],
    jobs: int,
    limit: int | None,
    events: Events,
) -> tuple[str, ...]:
    known = {record.key for record in have}
    records: list[Record] = list(have)
    trials = world.plan.trials
    todo = [trial for trial in trials if not known.issuperset(trial.lines)]
    events.planned(trials, len(trials) - len(todo))
    for kind in (AttackTrial, EvaluationTrial):
        found = {
            (record.target, record.seed): record for record in records if isinstance(record, AttackRecord)
        }
        chosen = [trial for trial in todo if isinstance(trial, kind)]
        for done in _map(world, chosen, found, jobs, limit, events):
            fresh = [record for record in done.records if record.key not in known]
            if done.trace and isinstance(done.trial, AttackTrial):
                directory.write_trace(done.trial.target.item_id, done.trial.seed, done.trace)
            directory.append(fresh)
            directory.add_timing(done.trial.key, done.seconds)
            records += fresh
            known |= {record.key for record in fresh}
            events.finished(done)
    return _failed(records)


def _failed(records: Sequence[Record]) -> tuple[str, ...]:
    return tuple(record.key for record in records if record.status == "error")


def _map(
    world: World, trials: Sequence[Trial], found: Found, jobs: int, limit: int | None, events: Events
) -> Iterator[Done]:
    """Results in the order of `trials`."""
    if jobs <= 1 or len(trials) <= 1:
        for trial in trials:
            yield perform(world, trial, found, lambda step, best, t=trial: events.step(t, step, best))  # type: ignore[misc]
        return
    context = get_context("spawn")
    told: Queue[tuple[str, int, float | None] | None] = context.Queue()
    by_key = {trial.key: trial for trial in trials}
    with (
        _listening(told, lambda key, step, best: events.step(by_key[key], step, best)),
        ProcessPoolExecutor(
            max_workers=min(jobs, len(trials)),
            mp_context=context,
            initializer=_start_worker,
            initargs=(world.scenario, limit, get_threads(), told),
        ) as pool,
    ):
        try:
            yield from pool.map(_perform_in_worker, trials, [dict(found)] * len(trials))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in active_children():
                child.terminate()
            raise


@contextmanager
def _listening(told: Queue[Any], tell: Callable[[str, int, float | None], None]) -> Iterator[None]:
    """Hands on what workers say, from a thread of its own, until the block ends."""

    def listen() -> None:
        while (message := told.get()) is not None:
            tell(*message)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        told.put(None)
        thread.join(timeout=5)


def perform(
    world: World, trial: Trial, found: Found, progress: Callable[[int, float | None], None] | None = None
) -> Done:
    """Run one trial."""
    started = time.perf_counter()
    records: Sequence[AttackRecord | EvaluationRecord]
    trace: Sequence[Mapping[str, Any]] = ()
    if isinstance(trial, AttackTrial):
        record, trace = run_attack(world, trial, progress)
        records = [record]
    else:
        records = run_evaluation(world, trial, found)
    return Done(trial, records, trace, time.perf_counter() - started)


_worker: list[tuple[World, Queue[Any]]] = []
"""The world of a worker process and where it tells of its steps, made once when it starts."""


def _start_worker(scenario: Scenario, limit: int | None, threads: int, told: Queue[Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    world = build(scenario, limit=limit)
    set_threads(threads)
    _worker.append((world, told))


def _leave_with_parent() -> None:
    """End this process when the driver is gone, however it went."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _perform_in_worker(trial: Trial, found: Found) -> Done:
    world, told = _worker[0]
    return perform(world, trial, found, lambda step, best: told.put((trial.key, step, best)))


def _refuse_another(scenario: Scenario, limit: int | None, before: Mapping[str, Any], where: Path) -> None:
    if before.get("scenario_hash") != scenario.hash:
        raise UserError(
            f"{where}: holds a run of another scenario ({before.get('name')}, {before.get('scenario_hash')}; options "
            f"such as --seed, --device and --threads are part of a scenario); choose another --out"
        )
    if before.get("limit") != limit:
        raise UserError(f"{where}: was begun with --limit {before.get('limit')}; choose another --out")


def _refuse_changes(now: Mapping[str, Any], before: Mapping[str, Any], where: Path) -> None:
    """UserError when the rest of a run would be computed on another catalog, model, device or dtype."""
    for what in ("catalog", "models", "device", "dtype", "threads"):
        if now[what] != before[what]:
            raise UserError(f"{where}: the {what} changed since this run began; choose another --out")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

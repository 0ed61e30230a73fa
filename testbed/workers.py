"""Where trials are performed: in this process, or in several workers that each build their own world."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.queues import Queue
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from testbed.language.precision import get_threads, set_threads
from testbed.plan import AttackTrial, Trial
from testbed.records import AttackRecord, EvaluationRecord, Record
from testbed.trial import run_attack, run_evaluation
from testbed.world import World, build

if TYPE_CHECKING:
    from testbed.scenario import Scenario

Found = Mapping[str, AttackRecord]
"""Key of an attack → what it arrived at."""
Tell = Callable[[Trial, int, float | None], None]
"""Called with the trial, the step it is at, and the best objective so far."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a trial gave: its records in line order, its trace, and the time it took."""

    trial: Trial
    records: Sequence[Record]
    trace: Sequence[Mapping[str, Any]]
    seconds: float


Executor = Literal["processes", "ray"]
EXECUTORS: tuple[Executor, ...] = ("processes", "ray")


def perform_all(
    world: World,
    trials: Sequence[Trial],
    found: Found,
    jobs: int,
    limit: int | None,
    tell: Tell,
    executor: Executor = "processes",
) -> Iterator[Done]:
    """What the trials gave, in their order. `jobs`: workers, each of which builds its own world.

    `executor`: where they are, processes of this machine or a Ray cluster, whose workers do not tell of their steps.
    One job of `processes` is this process itself.
    """
    if executor == "ray" and trials:
        from testbed.on_ray import perform_on_ray

        yield from perform_on_ray(world, trials, found, jobs, limit)
        return
    if jobs <= 1 or len(trials) <= 1:
        for trial in trials:
            yield perform(world, trial, found, partial(tell, trial))
        return
    others = set(active_children())
    context = get_context("spawn")
    told: Queue[tuple[str, int, float | None] | None] = context.Queue()
    by_key = {trial.key: trial for trial in trials}
    with (
        _listening(told, lambda key, step, best: tell(by_key[key], step, best)),
        ProcessPoolExecutor(
            max_workers=min(jobs, len(trials)),
            mp_context=context,
            initializer=_start_worker,
            initargs=(world.scenario, limit, get_threads(), told, world.environment.run),
        ) as pool,
    ):
        try:
            yield from pool.map(_perform_in_worker, trials, [dict(found)] * len(trials))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in set(active_children()) - others:
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


def _start_worker(
    scenario: Scenario, limit: int | None, threads: int, told: Queue[Any], run: Path | None
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _share_no_bars()
    world = build(scenario, limit=limit, run=run)
    set_threads(threads)
    _worker.append((world, told))


def _share_no_bars() -> None:
    """Keep progress bars of libraries from making a lock between processes: who is terminated leaves it behind."""
    with suppress(ImportError):
        from tqdm import tqdm  # type: ignore[import-untyped]

        tqdm.set_lock(threading.RLock())


def _leave_with_parent() -> None:
    """End this process when the driver is gone, however it went."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _perform_in_worker(trial: Trial, found: Found) -> Done:
    world, told = _worker[0]
    return perform(world, trial, found, lambda step, best: told.put((trial.key, step, best)))

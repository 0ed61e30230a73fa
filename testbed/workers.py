"""Where trials are performed: in this process, or in several workers that each build their own world."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from testbed.plan import AttackTrial, Trial
from testbed.records import AttackRecord, EvaluationRecord, Record
from testbed.trial import run_attack, run_evaluation
from testbed.world import World

if TYPE_CHECKING:
    from testbed.on_processes import Processes

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


@dataclass(frozen=True, slots=True)
class Workers:
    """Where they are; each builds its own world, and there are as many as `processes` has jobs.

    One job of `processes` is this process itself. Workers on a Ray cluster do not tell of their steps.
    """

    executor: Executor
    processes: Processes


def perform_all(
    world: World,
    trials: Sequence[Trial],
    found: Found,
    workers: Workers,
    limit: int | None,
    tell: Tell,
) -> Iterator[Done]:
    """What the trials gave, in their order."""
    if workers.executor == "ray" and trials:
        from testbed.on_ray import perform_on_ray

        yield from perform_on_ray(world, trials, found, workers.processes.jobs, limit)
        return
    if workers.processes.jobs <= 1 or len(trials) <= 1:
        for trial in trials:
            yield perform(world, trial, found, partial(tell, trial))
        return
    yield from workers.processes.perform(world, trials, found, limit, tell)


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

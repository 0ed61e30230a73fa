"""Trials on a Ray cluster: workers compute and never write, one that dies is replaced and its trial done again.

`RAY_ADDRESS` names the cluster; without it one is started on this machine, with as many CPUs as there are workers.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import UserError, shown
from testbed.language.precision import get_threads, set_threads
from testbed.plan import Trial
from testbed.world import World, build

if TYPE_CHECKING:
    from testbed.scenario import Scenario
    from testbed.workers import Done, Found

ATTEMPTS = 3
"""Times that a trial is tried before its workers' deaths end the run."""


def perform_on_ray(
    world: World, trials: Sequence[Trial], found: Found, jobs: int, limit: int | None
) -> Iterator[Done]:
    """What the trials gave, in their order, whichever worker was first.

    `jobs`: workers, of which there are never more than the cluster has CPUs for. UserError without Ray, and for a trial
    whose workers died three times.
    """
    ray = connected(jobs)
    about = (world.scenario, limit, get_threads(), _absolute(world.environment.run))
    waiting = deque((place, 1) for place in range(len(trials)))
    running: dict[Any, tuple[Any, int, int]] = {}
    workers = [_worker(ray, about) for _ in range(min(jobs, len(trials), _room(ray)))]
    idle = list(workers)
    ready: dict[int, Done] = {}
    given = 0
    try:
        while given < len(trials):
            while idle and waiting:
                worker = idle.pop()
                place, attempt = waiting.popleft()
                running[worker.perform.remote(trials[place], dict(found))] = (worker, place, attempt)
            (answer,), _ = ray.wait(list(running), num_returns=1)
            worker, place, attempt = running.pop(answer)
            try:
                done, fault = ray.get(answer)
            except (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError) as death:
                if attempt == ATTEMPTS:
                    key = shown(trials[place].key)
                    raise UserError(f"{attempt} workers died while they did {key}: {death}") from None
                waiting.appendleft((place, attempt + 1))
                workers.remove(worker)
                worker = _worker(ray, about)
                workers.append(worker)
            else:
                if fault is not None:
                    raise fault
                ready[place] = done
            idle.append(worker)
            while given in ready:
                yield ready.pop(given)
                given += 1
    finally:
        for worker in workers:
            ray.kill(worker)


def connected(jobs: int) -> Any:
    """Ray, connected to a cluster for as long as the process lives. UserError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UserError("--executor ray needs Ray: pip install 'ranking-testbed[ray]'") from None
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS", "local")
        own: dict[str, Any] = {"num_cpus": jobs, "include_dashboard": False} if address == "local" else {}
        ray.init(address=address, log_to_driver=False, logging_level="error", **own)
    return ray


class Worker:
    """Builds a world of its own and performs trials in it; faults come back as values, as they were raised."""

    def __init__(self, scenario: Scenario, limit: int | None, threads: int, run: Path | None) -> None:
        self.world: World | None = None
        self.fault: Exception | None = None
        try:
            self.world = build(scenario, limit=limit, run=run)
        except Exception as fault:
            self.fault = fault
        set_threads(threads)

    def perform(self, trial: Trial, found: Found) -> tuple[Done | None, Exception | None]:
        """What one trial gave, or why it gave nothing."""
        from testbed.workers import perform

        if self.world is None:
            return None, self.fault
        try:
            return perform(self.world, trial, found), None
        except Exception as fault:
            return None, fault

    def process(self) -> int:
        """The number of its process."""
        return os.getpid()


def _worker(ray: Any, about: tuple[Any, ...]) -> Any:
    gpus = 1 if about[0].machine.device.startswith("cuda") else 0
    return ray.remote(num_cpus=1, num_gpus=gpus)(Worker).remote(*about)


def _room(ray: Any) -> int:
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _absolute(run: Path | None) -> Path | None:
    return None if run is None else run.absolute()

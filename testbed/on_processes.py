"""Trials in processes of this machine, which are kept from one run to the next: to start one takes seconds."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.queues import Queue
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from testbed.language.precision import get_threads, set_threads
from testbed.world import World, build

if TYPE_CHECKING:
    from testbed.plan import Trial
    from testbed.scenario import Scenario
    from testbed.workers import Done, Found, Tell


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a process makes its world of. `number` tells worlds apart."""

    number: int
    scenario: Scenario
    limit: int | None
    threads: int
    run: Path | None


class Processes:
    """As many processes as there is work for, `jobs` at most; a context that ends them.

    Each holds the world of the run that it last worked on, and makes another when it is asked about another.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._open: tuple[ProcessPoolExecutor, Queue[Any]] | None = None
        self._others = set(active_children())
        self._world: World | None = None
        self._number = 0

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open is not None:
            self._open[0].shutdown(wait=kind is None, cancel_futures=True)
            if kind is not None:
                for child in set(active_children()) - self._others:
                    child.terminate()
            self._open = self._world = None

    def perform(
        self, world: World, trials: Sequence[Trial], found: Found, limit: int | None, tell: Tell
    ) -> Iterator[Done]:
        """What the trials of a world gave, in their order."""
        pool, told = self._open = self._open or _opened(self.jobs)
        if self._world is not world:
            self._world, self._number = world, self._number + 1
        recipe = Recipe(self._number, world.scenario, limit, get_threads(), world.environment.run)
        by_key, count = {trial.key: trial for trial in trials}, len(trials)

        def heard(key: str, step: int, best: float | None) -> None:
            if key in by_key:  # not a late word on the trials before
                tell(by_key[key], step, best)

        with _listening(told, heard):
            yield from pool.map(_perform, [recipe] * count, trials, [dict(found)] * count)


def _opened(jobs: int) -> tuple[ProcessPoolExecutor, Queue[Any]]:
    context = get_context("spawn")
    told: Queue[Any] = context.Queue()
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=(told,)), told


@contextmanager
def _listening(told: Queue[Any], tell: Callable[[str, int, float | None], None]) -> Iterator[None]:
    """Hands on what processes say, from a thread of its own, until the block ends."""

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


_worlds: dict[int, World] = {}
"""The world of this process, by its number."""
_tell: list[Queue[Any]] = []
"""Where this process tells of its steps."""


def _start(told: Queue[Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _share_no_bars()
    _tell.append(told)


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


def _perform(recipe: Recipe, trial: Trial, found: Found) -> Done:
    from testbed.workers import perform

    if recipe.number not in _worlds:
        _worlds.clear()
        _worlds[recipe.number] = build(recipe.scenario, limit=recipe.limit, run=recipe.run)
        set_threads(recipe.threads)
    return perform(
        _worlds[recipe.number],
        trial,
        found,
        lambda step, best: _tell[0].put((trial.key, step, best)),
    )

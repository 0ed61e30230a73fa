"""Progress bars on standard error; plain silence where that is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from testbed.plan import AttackTrial, Trial
from testbed.runner import Events
from testbed.workers import Done


@contextmanager
def watching(name: str) -> Iterator[Events]:
    """Events that drive two bars: all trials, and the steps of the attack under way."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    )
    whole = bar.add_task(name, total=None, note="loading")
    steps = bar.add_task("attack", total=None, visible=False, note="")

    def planned(trials: Sequence[Trial], finished: int) -> None:
        bar.update(whole, total=len(trials), completed=finished, note="")

    def step(trial: Trial, number: int, objective: float | None) -> None:
        note = "" if objective is None else f"objective {objective:.3f}"
        bar.update(steps, description=f"  {_short(trial)}", completed=number, visible=True, note=note)

    def finished(done: Done) -> None:
        bar.advance(whole)
        bar.update(whole, note="")
        if isinstance(done.trial, AttackTrial):
            bar.update(steps, visible=False)

    with bar:
        yield Events(planned, step, finished)


def _short(trial: Trial) -> str:
    return "".join(char for char in trial.key.removeprefix("attack/") if char.isprintable())[:40]


@contextmanager
def counting(name: str, what: str) -> Iterator[Callable[[int, int], None]]:
    """One bar that is told how many of how many are done; `what` they are."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(what),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    task = bar.add_task(name, total=None)
    with bar:
        yield lambda done, total: bar.update(task, completed=done, total=total)

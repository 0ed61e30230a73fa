"""Training in one process or in several that average their gradients; progress, log and card of the first."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.multiprocessing.spawn import spawn

from testbed.language import load
from testbed.tuning.training import Training

if TYPE_CHECKING:
    from testbed.environment import Environment
    from testbed.tuning.options import LowRankTrainer

LOG = "log.jsonl"


def train(options: LowRankTrainer, folder: Path, env: Environment) -> None:
    """Train into `folder`, going on with what is there.

    With several workers in processes of their own, which begin from the same weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if options.workers == 1:
        _train(0, options, folder, env, None)
    else:
        _training(options, folder, env)  # faults show here, where they are one message
        gc.collect()
        with tempfile.TemporaryDirectory() as meeting:
            arguments = (options, folder, env, f"file://{meeting}/store")
            _together(arguments, options.workers)


def _together(arguments: tuple[Any, ...], count: int) -> None:
    """Run `_train` in so many processes. They ignore Ctrl-C: this one hears it, ends them and speaks for all."""
    with _deaf():
        context = spawn(_train, arguments, nprocs=count, join=False)  # type: ignore[no-untyped-call]
    try:
        while not context.join():
            pass
    except BaseException:
        for process in context.processes:
            process.terminate()
            process.join()
        raise


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes started here ignore Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _train(rank: int, options: LowRankTrainer, folder: Path, env: Environment, meeting: str | None) -> None:
    import torch.distributed as distributed

    torch.set_num_threads(env.threads or 1)
    end_with_parent()
    if meeting:
        distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=options.workers)
    combine = distributed.all_reduce if meeting else lambda vector: None
    training = _training(options, folder, env, rank=rank, processes=options.workers, combine=combine)
    with (folder / LOG).open("a", encoding="utf-8") as log, progress_bar() as bar:
        task = bar.add_task("training", total=options.steps, completed=training.progress.step, note="")

        def tell(line: dict[str, Any]) -> None:
            log.write(json.dumps(line) + "\n")
            log.flush()
            bar.update(task, completed=line["step"])
            if "validation" in line:
                bar.update(task, note=f"validation {line['validation']:.3f}")

        training.run(tell)
    if meeting:
        distributed.destroy_process_group()


def end_with_parent() -> None:
    """End this process once the one that started it is gone, however that ended."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _training(options: LowRankTrainer, folder: Path, env: Environment, **share: Any) -> Training:
    """With a model of its own: training replaces its layers, so the shared one is not used."""
    model = load(options.model, device=env.device, dtype=env.dtype, cache=env.cache)
    return Training(model, options, folder, lambda model: options.task(model, env), **share)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on standard error, where that is a terminal; tasks have a `note`."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        yield bar

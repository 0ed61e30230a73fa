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

from retrievers.llm.tuning import checkpoint
from retrievers.llm.tuning.card import card
from retrievers.llm.tuning.evaluation import LENGTHS, Quality, qualities
from retrievers.llm.tuning.training import Training
from testbed.language import load

if TYPE_CHECKING:
    from retrievers.llm.tuning.options import RecommenderTrainer
    from testbed.environment import Environment

LOG, FIGURES, CARD = "log.jsonl", "figures.json", "README.md"
ORDERS = 3
"""Presentation orders of the figures in the card."""


def train(options: RecommenderTrainer, folder: Path, env: Environment) -> None:
    """Train into `folder`, going on with what is there; then measure the best adapter and write its card.

    With several workers in processes of their own, which begin from the same weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if options.workers == 1:
        _train(0, options, folder, env, None)
    else:
        Training(_load(options.model, env), options, folder)  # faults show here, where they are one message
        gc.collect()
        with tempfile.TemporaryDirectory() as meeting:
            arguments = (options, folder, env, f"file://{meeting}/store")
            _together(arguments, options.workers)
    _describe(options, folder, env)


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


def _train(
    rank: int, options: RecommenderTrainer, folder: Path, env: Environment, meeting: str | None
) -> None:
    import torch.distributed as distributed

    torch.set_num_threads(env.threads or 1)
    end_with_parent()
    model = _load(options.model, env)
    if meeting:
        distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=options.workers)
    training = Training(
        model,
        options,
        folder,
        rank=rank,
        processes=options.workers,
        combine=distributed.all_reduce if meeting else lambda vector: None,
    )
    with (folder / LOG).open("a", encoding="utf-8") as log, _bar() as bar:
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


def _describe(options: RecommenderTrainer, folder: Path, env: Environment) -> None:
    """Measure random order, the model as it was and the adapter on held-out pages; write figures and card.

    What has been measured in an earlier call is not measured again.
    """
    place = folder / FIGURES
    known = (
        {tuple(key): value for key, value in json.loads(place.read_text("utf-8"))} if place.is_file() else {}
    )
    state = json.loads((folder / checkpoint.STATE).read_text("utf-8"))["progress"]
    found: list[Quality] = []
    with _bar() as bar:
        task = bar.add_task("measuring", total=3 * len(LENGTHS), note="")
        for who, name in (("random", None), ("untuned", options.model), ("tuned", str(folder))):
            model = None
            for length in LENGTHS:
                key = (who, length, state["best"] if who == "tuned" else 0.0)
                bar.update(task, note=f"{who}, {length} listings")
                if key not in known:
                    model = model or (_load(name, env) if name else None)
                    (measured,) = qualities(
                        who, model, pages=options.measured_pages, orders=ORDERS, lengths=(length,)
                    )
                    known[key] = [measured.ndcg, measured.first, measured.spread, measured.requests]
                    checkpoint.replace_text(
                        place, json.dumps([[list(k), v] for k, v in known.items()]) + "\n"
                    )
                ndcg, first, spread, requests = known[key]
                found.append(Quality(length, who, ndcg, first, spread, int(requests)))
                bar.advance(task)
    progress = checkpoint.Progress(**state)
    changed = options.model_dump(exclude_defaults=True)
    command = " ".join(
        [
            "testbed train recommender --out FOLDER",
            *(f"--set {name}={value}" for name, value in changed.items()),
        ]
    )
    checkpoint.replace_text(folder / CARD, card(options, progress, found, ORDERS, command))


def _load(model: str, env: Environment) -> Any:
    """A model of our own: training replaces its layers, so the shared one is not used."""
    return load(model, device=env.device, dtype=env.dtype, cache=env.cache)


@contextmanager
def _bar() -> Iterator[Progress]:
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

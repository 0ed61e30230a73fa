"""Several seeds of one training, their figures beside plain cosine's, and a card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.progress import Progress

from retrievers.goals.data import Dialogues, split_of
from retrievers.goals.evaluation import direction_accuracy, mean_share, next_ranks
from retrievers.goals.scoring import Curvature
from retrievers.goals.tuning.card import card
from retrievers.goals.tuning.course import Course
from retrievers.goals.tuning.fine_tuning import FineTuning
from retrievers.goals.tuning.training import Training
from retrievers.goals.vectors import vectors_of
from testbed.language.learning_encoder import LearningEncoder
from testbed.tuning.checkpoint import replace_text
from testbed.tuning.processes import progress_bar

if TYPE_CHECKING:
    from retrievers.goals.tuning.options import GoalsTrainer
    from testbed.environment import Environment
    from testbed.language.encoder import Encoder

LOG, FIGURES, CARD = "log.jsonl", "figures.json", "README.md"
TUNED = "tuned"
"""Folder below a seed's, for heads with the encoder that was tuned with them."""


def train(options: GoalsTrainer, folder: Path, env: Environment) -> None:
    """Train all seeds into folders below `folder`, measure the test dialogues, write figures and a card."""
    from testbed.language.precision import choose_device

    if env.threads:
        torch.set_num_threads(env.threads)
    split = split_of(
        options.data, options.validation, options.test, deduplicate=options.deduplicate, limit=options.limit
    )
    encoder, device = env.encoder(options.encoder), choose_device(env.device)
    if options.encoder_layers:  # faults show before anything is trained
        LearningEncoder.loaded(options.encoder, options.encoder_layers, device=env.device, cache=env.cache)
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, list[dict[str, float]]] = {}
    measured = split.test or split.validation
    with progress_bar() as bar:
        training = _embedded("training", split.training, encoder, env, bar)
        validating = _embedded("validation", split.validation, encoder, env, bar)
        tested = _embedded("test", measured, encoder, env, bar) if split.test else validating
        for seed in options.seeds:
            place = folder / f"seed-{seed}"
            place.mkdir(exist_ok=True)
            run = Training(options, split, (training, validating), encoder.fingerprint, place, seed, device)
            _run(run, place, bar, f"seed {seed}")
            found = figures_of(measured, Curvature.of(tested, run.heads))
            replace_text(place / FIGURES, json.dumps(found, indent=1) + "\n")
            figures.setdefault("these heads", []).append(found)
            if options.encoder_layers:
                found = _tuned(run, place / TUNED, measured, env, bar)
                figures.setdefault("heads and encoder", []).append(found)
    figures["plain cosine"] = [figures_of(measured, Curvature.plain(tested))]
    replace_text(folder / FIGURES, json.dumps(figures, indent=1) + "\n")
    replace_text(folder / CARD, card(options, split, figures))


def _tuned(
    before: Training, place: Path, measured: Dialogues, env: Environment, bar: Progress
) -> dict[str, float]:
    run = FineTuning(before, place, env)
    _run(run, place, bar, f"seed {before.seed}, encoder")
    found = figures_of(measured, Curvature.of(run.encoder.encode(measured.texts), run.heads))
    replace_text(place / FIGURES, json.dumps(found, indent=1) + "\n")
    return found


def figures_of(dialogues: Dialogues, curvature: Curvature) -> dict[str, float]:
    """Mean ranks of the next utterance after 1, 5 and 10 turns, their mean share of the pool, accuracy of direction."""
    ranks = next_ranks(dialogues, curvature)
    found = {
        f"rank h={one.history}": one.mean for one in ranks if one.history in (1, 5, 10) and len(one.ranks)
    }
    return found | {"rank ÷ pool": mean_share(ranks), "direction": direction_accuracy(dialogues, curvature)}


def _embedded(
    name: str, dialogues: Dialogues, encoder: Encoder, env: Environment, bar: Progress
) -> np.ndarray:
    task = bar.add_task(f"vectors of {name}", total=len(dialogues.texts), note="")
    return vectors_of(dialogues.texts, encoder, env.cache, lambda done, _: bar.update(task, completed=done))


def _run(training: Course, place: Path, bar: Progress, name: str) -> None:
    task = bar.add_task(name, total=training.most, completed=training.progress.epoch, note="")
    with (place / LOG).open("a", encoding="utf-8") as log:

        def tell(line: dict[str, Any]) -> None:
            log.write(json.dumps(line) + "\n")
            log.flush()
            bar.update(task, advance=1, note=f"rank ÷ pool {line['validation']:.4f}")

        training.run(tell)
    bar.update(task, completed=training.most)

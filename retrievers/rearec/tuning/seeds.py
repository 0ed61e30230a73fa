"""Several seeds of one training, their figures beside the floors, and a model card."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.progress import Progress

from retrievers.rearec.data import (
    Interactions,
    Split,
    held_out_users,
    leave_one_out,
    poisoned,
    read,
    time_split,
)
from retrievers.rearec.evaluation import Ranks, Scorer, ranks
from retrievers.rearec.floors import FLOORS
from retrievers.rearec.predict import READS, scorer
from retrievers.rearec.stored import ITEMS
from retrievers.rearec.tuning.texts import vectors_of
from retrievers.rearec.tuning.training import Training
from testbed.errors import UserError
from testbed.tuning.checkpoint import replace_text
from testbed.tuning.processes import progress_bar

if TYPE_CHECKING:
    from retrievers.rearec.tuning.options import RearecTrainer
    from testbed.environment import Environment

LOG, FIGURES, CARD = "log.jsonl", "figures.json", "README.md"
SPLITS: dict[str, Callable[[Interactions], Split]] = {
    "leave_one_out": leave_one_out,
    "time": time_split,
    "users": held_out_users,
}
MEASURES = ("NDCG@10", "NDCG@20", "Recall@10", "Recall@20")


def train(options: RearecTrainer, folder: Path, env: Environment) -> None:
    """Train all seeds into folders below `folder`, measure the test items, write figures and a card."""
    from testbed.language.precision import choose_device

    if env.threads:
        torch.set_num_threads(env.threads)
    interactions = read(options.data)
    split = SPLITS[options.split](interactions)
    split = poisoned(split, options.fakes)
    vectors = vectors_of(interactions, options.encoder, env) if options.items != "id" else None
    device = choose_device(env.device)
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, list[dict[str, float]]] = {}
    with progress_bar() as bar:
        for seed in options.seeds:
            place = folder / f"seed-{seed}"
            place.mkdir(exist_ok=True)
            training = Training(options, split, place, seed, vectors, device)
            replace_text(place / ITEMS, json.dumps(interactions.items) + "\n")
            _run(training, place, bar, f"seed {seed}")
            found = _tested(place, partial(_ranks, training))
            figures.setdefault("model", []).append(found)
    figures |= _floors(folder, split)
    replace_text(folder / FIGURES, json.dumps(figures, indent=1) + "\n")
    replace_text(folder / CARD, card(options, interactions, split, figures))


def _run(training: Training, place: Path, bar: Progress, name: str) -> None:
    options = training.options
    most = (options.epochs if options.start is None or options.loss == "base" else 0) + (
        options.reasoning_epochs if options.steps else 0
    )
    task = bar.add_task(name, total=most, note="")
    with (place / LOG).open("a", encoding="utf-8") as log:

        def tell(line: dict[str, Any]) -> None:
            (place / FIGURES).unlink(missing_ok=True)
            log.write(json.dumps(line) + "\n")
            log.flush()
            measure = training.options.measure
            bar.update(task, advance=1, note=f"{line['phase']}, {measure} {line[measure]:.4f}")

        training.run(tell)
    bar.update(task, completed=most)


def _ranks(training: Training) -> Ranks:
    split = training.split
    scored = scorer(training.model, split, READS[training.options.loss])
    return ranks(scored, split.interactions, split.test)


def _tested(place: Path, measure: Callable[[], Ranks]) -> dict[str, float]:
    """Figures on the test items; measured once."""
    file = place / FIGURES
    if file.is_file():
        found: dict[str, float] = json.loads(file.read_text("utf-8"))
        return found
    found = measure().summary()
    replace_text(file, json.dumps(found, indent=1) + "\n")
    return found


def _floors(folder: Path, split: Split) -> dict[str, list[dict[str, float]]]:
    found = {}
    for name, make in FLOORS.items():
        place = folder / f"floor-{name}-{split.rule}-{split.interactions.fingerprint}"
        place.mkdir(exist_ok=True)
        try:
            found[name] = [_tested(place, partial(_floor, make, split))]
        except UserError:
            place.rmdir()
    return found


def _floor(make: Callable[[Split], Scorer], split: Split) -> Ranks:
    return ranks(make(split), split.interactions, split.test)


def card(
    options: RearecTrainer,
    interactions: Interactions,
    split: Split,
    figures: dict[str, list[dict[str, float]]],
) -> str:
    """What was trained on what, and how well it ranks beside the floors."""
    rows = [
        f"| {'this model' if name == 'model' else name} | "
        + " | ".join(_cell([one[measure] for one in found]) for measure in MEASURES)
        + " |"
        for name, found in figures.items()
    ]
    texts = sum(map(bool, interactions.texts))
    return "\n".join(
        [
            f"# {options.backbone}, {options.steps} reasoning steps, loss {options.loss}",
            "",
            f"{len(interactions):,} users, {len(interactions.items):,} items ({texts:,} with text), "
            f"{len(interactions.rows):,} interactions; {split.rule}, {len(split.test):,} users measured, all items "
            f"ranked but those of the known history. Seeds {', '.join(map(str, options.seeds))}.",
            "",
            f"| | {' | '.join(MEASURES)} |",
            f"|---|{'---|' * len(MEASURES)}",
            *rows,
            "",
            "Options other than the defaults:",
            "",
            *(
                f"- `{name}: {value}`"
                for name, value in options.model_dump(exclude_defaults=True, mode="json").items()
                if name != "data"
            ),
            "",
        ]
    )


def _cell(values: list[float]) -> str:
    """Mean, and with several seeds the standard deviation."""
    spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{spread}"

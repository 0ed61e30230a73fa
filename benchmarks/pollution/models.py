"""What is attacked: small sequential models, with and without reasoning steps, trained once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from retrievers.rearec.data import Fakes, Split, poisoned
from retrievers.rearec.model import SequentialModel
from retrievers.rearec.predict import READS, Read
from retrievers.rearec.tuning.options import RearecTrainer
from retrievers.rearec.tuning.texts import vectors_of
from retrievers.rearec.tuning.training import Training
from testbed.environment import Environment

SIZE: dict[str, Any] = {
    "width": 32, "inner": 64, "learning_rate": 0.003, "batch": 2048,
    "epochs": 15, "reasoning_epochs": 8, "patience": 4,
}  # fmt: skip
"""Small: every model is to train within minutes on one core."""
SMALLER = {**SIZE, "layers": 1, "negatives": 256, "epochs": 12, "patience": 12}
"""Of trainings with fake users, of which there are many."""
STEPS = 3
TEXT_EPOCHS = 8
"""Of models of texts, whose epochs take longer."""
REASONING: dict[str, Any] = {"steps": STEPS, "reasoning_rate": SIZE["learning_rate"] / 5}
"""Slower than the backbone learnt, which steps taught at its own rate take the quality from."""
KINDS: dict[str, dict[str, Any]] = {
    "base": {}, "erl": {"loss": "erl", **REASONING}, "prl": {"loss": "prl", **REASONING},
}  # fmt: skip
NAMES = {
    f"{items}-{kind}": f"{ {'base': 'no steps', 'erl': 'ERL', 'prl': 'PRL'}[kind] }, items by {items}"
    for items in ("id", "text")
    for kind in KINDS
}


@dataclass(frozen=True)
class Attacked:
    """A trained model and how it is read. `table`: (n, d) all items."""

    name: str
    model: SequentialModel
    table: Tensor
    read: Read


def plain(name: str, data: Path, split: Split, folder: Path, env: Environment) -> Attacked:
    """The model `id-base`, `text-prl` and so on; reasoning begins from the base model of the same items."""
    items, kind = name.split("-")
    start = None if kind == "base" else folder / f"{items}-base"
    if start is not None:
        plain(f"{items}-base", data, split, folder, env)
    fewer = {"epochs": TEXT_EPOCHS} if items == "text" else {}
    options = RearecTrainer(data=data, items=items, start=start, **{**SIZE, **fewer, **KINDS[kind]})
    return trained(name, options, split, folder / name, env)


def pushed(
    name: str,
    data: Path,
    split: Split,
    attackers: Sequence[Fakes],
    folder: Path,
    env: Environment,
    seed: int = 0,
) -> Attacked:
    """A smaller model of ids that learns from fake users as well."""
    options = RearecTrainer(data=data, fakes=tuple(attackers), **SMALLER)
    return trained(name, options, poisoned(split, attackers), folder / name, env, seed)


def trained(
    name: str, options: RearecTrainer, split: Split, folder: Path, env: Environment, seed: int = 0
) -> Attacked:
    """Train, or go on, or take what is there."""
    vectors = vectors_of(split.interactions, options.encoder, env) if options.items != "id" else None
    place = folder / f"seed-{seed}"
    place.mkdir(parents=True, exist_ok=True)
    training = Training(options, split, place, seed, vectors, torch.device("cpu"))
    training.run(lambda line: print(f"{name}: {line}", flush=True))
    model = training.model.eval()
    with torch.no_grad():
        return Attacked(name, model, model.items.table(), READS[options.loss])

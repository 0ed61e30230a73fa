"""What a training leaves: the best weights so far, and a state to go on from; safetensors and JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from testbed.errors import UserError, shown
from testbed.tuning.checkpoint import replace_text
from testbed.tuning.state import STATE, load_state, save_state, save_weights

if TYPE_CHECKING:
    from retrievers.rearec.model import SequentialModel
    from retrievers.rearec.tuning.options import RearecTrainer

BEST, ABOUT = "model.safetensors", "model.json"
__all__ = ["ABOUT", "BEST", "STATE", "Progress", "begin", "load", "load_best", "save", "save_best"]


@dataclass(slots=True)
class Progress:
    """How far a training is. `phase`: 0 backbone, 1 reasoning. `best`: highest validation of the phase."""

    phase: int = 0
    epoch: int = 0
    best: float = -1.0
    best_epoch: int = 0
    waited: int = 0
    decays: int = 0


def save(
    folder: Path,
    options: RearecTrainer,
    model: SequentialModel,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    about: dict[str, Any],
) -> None:
    """Write a checkpoint after an epoch."""
    name, dumped = f"{progress.phase}-{progress.epoch}", options.model_dump(mode="json")
    save_state(folder, name, dumped, model, optimizer, progress, about)


def load(
    folder: Path,
    options: RearecTrainer,
    model: SequentialModel,
    optimizer: torch.optim.Optimizer,
    about: dict[str, Any],
) -> Progress | None:
    """Put a checkpoint into model and optimizer, see `testbed.tuning.state.load_state`."""
    dumped = options.model_dump(mode="json")
    return load_state(folder, dumped, options.free, model, optimizer, Progress, about)


def begin(folder: Path, model: SequentialModel, about: dict[str, Any]) -> str:
    """Put the backbone of another training into a model; the checksum of its weights.

    UserError unless it is a finished one of the backbone alone, on the same data, of the same size.
    """
    try:
        there = json.loads((folder / ABOUT).read_text("utf-8"))
        weights = load_file(folder / BEST)
    except (OSError, ValueError, SafetensorError) as fault:
        raise UserError(f"start: {folder} holds no trained model ({fault})") from fault
    for name in ("data", "split", "items", "encoder"):
        if there.get(name) != about[name]:
            raise UserError(f"start: {folder} was trained with another {name}: {shown(there.get(name))}")
    if there.get("loss") != "base":
        raise UserError(f"start: {folder} was trained with loss {shown(there.get('loss'))}, not 'base'")
    for name, value in about["options"].items():
        if name not in ("steps", "feedback") and there["options"].get(name) != value:
            raise UserError(
                f"start: {folder} has {name} {shown(there['options'].get(name))}, not {shown(value)}"
            )
    weights["steps"] = model.steps.detach()
    model.load_state_dict(weights)
    return hashlib.sha256((folder / BEST).read_bytes()).hexdigest()


def load_best(folder: Path, model: SequentialModel) -> None:
    """Put the best weights so far into a model."""
    model.load_state_dict(load_file(folder / BEST))


def save_best(folder: Path, model: SequentialModel, about: dict[str, Any]) -> None:
    """Write the model as it is now, for use."""
    save_weights(folder / BEST, model)
    replace_text(folder / ABOUT, json.dumps({"version": 1, **about}, indent=1) + "\n")

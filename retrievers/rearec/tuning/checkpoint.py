"""What a training leaves: the best weights so far, and a state to go on from; safetensors and JSON."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from testbed.errors import UserError, shown
from testbed.tuning.checkpoint import replace_text

if TYPE_CHECKING:
    from retrievers.rearec.model import SequentialModel
    from retrievers.rearec.tuning.options import RearecTrainer

STATE, BEST, ABOUT = "checkpoint.json", "model.safetensors", "model.json"


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
    """Write a checkpoint; the one before stays whole until this one is."""
    name = f"checkpoint-{progress.phase}-{progress.epoch}.safetensors"
    tensors = {f"model.{key}": value.contiguous().cpu() for key, value in model.state_dict().items()}
    names = [key for key, _ in model.named_parameters()]
    for key, weight in zip(names, model.parameters(), strict=True):
        for part, value in optimizer.state.get(weight, {}).items():
            tensors[f"optimizer.{key}.{part}"] = torch.as_tensor(value).contiguous().cpu()
    save_file(tensors, folder / name)
    state = {
        "options": options.model_dump(mode="json"),
        "about": about,
        "progress": asdict(progress),
        "weights": name,
    }
    replace_text(folder / STATE, json.dumps(state, indent=1) + "\n")
    for old in folder.glob("checkpoint-*.safetensors"):
        if old.name != name:
            old.unlink()


def load(
    folder: Path,
    options: RearecTrainer,
    model: SequentialModel,
    optimizer: torch.optim.Optimizer,
    about: dict[str, Any],
) -> Progress | None:
    """Put a checkpoint into model and optimizer, if there is one; UserError if it is of other options or data."""
    if not (folder / STATE).is_file():
        return None
    try:
        kept = json.loads((folder / STATE).read_text("utf-8"))
        tensors = load_file(folder / f"{kept['weights']}")
        before, seen = kept["options"], kept["about"]
        known = {entry.name for entry in fields(Progress)}
        progress = Progress(**{name: value for name, value in kept["progress"].items() if name in known})
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise UserError(
            f"{folder / STATE}: is damaged ({fault}); remove the folder or choose another"
        ) from fault
    for name, value in options.model_dump(mode="json").items():
        if name not in options.free and before.get(name) != value:
            raise UserError(
                f"{folder}: was trained with {name} {shown(before.get(name))}, not {shown(value)}; "
                "give the same options to go on, or another folder"
            )
    if seen != about:
        what = "from another start" if seen.get("start") != about.get("start") else "on other data"
        raise UserError(f"{folder}: was trained {what}; choose another folder")
    model.load_state_dict(
        {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}
    )
    for key, weight in model.named_parameters():
        lead = f"optimizer.{key}."
        state = {name.removeprefix(lead): value for name, value in tensors.items() if name.startswith(lead)}
        if state:
            optimizer.state[weight] = {
                name: value if name == "step" else value.to(weight.device) for name, value in state.items()
            }
    return progress


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
    partial = folder / (BEST + ".partial")
    save_file({key: value.contiguous().cpu() for key, value in model.state_dict().items()}, partial)
    os.replace(partial, folder / BEST)
    replace_text(folder / ABOUT, json.dumps({"version": 1, **about}, indent=1) + "\n")

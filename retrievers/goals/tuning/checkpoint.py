"""What a training leaves: the best heads so far, and a state to go on from; safetensors and JSON."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from retrievers.goals.stored import ABOUT, VERSION, WEIGHTS
from testbed.errors import UserError, shown
from testbed.tuning.checkpoint import replace_text

if TYPE_CHECKING:
    from retrievers.goals.model import CurvedHeads
    from retrievers.goals.tuning.options import GoalsTrainer

STATE = "checkpoint.json"


@dataclass(slots=True)
class Progress:
    """How far a training is. `best`: least validation; `waited`: epochs since then."""

    epoch: int = 0
    best: float = float("inf")
    best_epoch: int = 0
    waited: int = 0


def save(
    folder: Path,
    options: GoalsTrainer,
    heads: CurvedHeads,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    about: dict[str, Any],
) -> None:
    """Write a checkpoint; the one before stays whole until this one is."""
    name = f"checkpoint-{progress.epoch}.safetensors"
    tensors = {f"heads.{key}": value.contiguous().cpu() for key, value in heads.state_dict().items()}
    for key, weight in heads.named_parameters():
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
    options: GoalsTrainer,
    heads: CurvedHeads,
    optimizer: torch.optim.Optimizer,
    about: dict[str, Any],
) -> Progress | None:
    """Put a checkpoint into heads and optimizer, if there is one; UserError if it is of other options or data."""
    if not (folder / STATE).is_file():
        return None
    try:
        kept = json.loads((folder / STATE).read_text("utf-8"))
        tensors = load_file(folder / f"{kept['weights']}")
        before, seen = kept["options"], kept["about"]
        known = {entry.name for entry in fields(Progress)}
        progress = Progress(**{name: value for name, value in kept["progress"].items() if name in known})
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as fault:
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
        raise UserError(f"{folder}: was trained on other data; choose another folder")
    heads.load_state_dict(
        {key.removeprefix("heads."): value for key, value in tensors.items() if key.startswith("heads.")}
    )
    for key, weight in heads.named_parameters():
        lead = f"optimizer.{key}."
        state = {name.removeprefix(lead): value for name, value in tensors.items() if name.startswith(lead)}
        if state:
            optimizer.state[weight] = {
                name: value if name == "step" else value.to(weight.device) for name, value in state.items()
            }
    return progress


def load_best(folder: Path, heads: CurvedHeads) -> None:
    """Put the best weights so far into heads."""
    heads.load_state_dict(load_file(folder / WEIGHTS))


def save_best(folder: Path, heads: CurvedHeads, about: dict[str, Any]) -> None:
    """Write the heads as they are now, for use."""
    partial = folder / (WEIGHTS + ".partial")
    save_file({key: value.contiguous().cpu() for key, value in heads.state_dict().items()}, partial)
    os.replace(partial, folder / WEIGHTS)
    replace_text(folder / ABOUT, json.dumps({"version": VERSION, **about}, indent=1) + "\n")

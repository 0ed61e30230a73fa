"""A training of a whole network between two epochs, and its best weights so far; safetensors and JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from testbed.errors import UserError, shown
from testbed.tuning.checkpoint import replace_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Progress = TypeVar("Progress", bound=DataclassInstance)

STATE = "checkpoint.json"


def save_state(
    folder: Path,
    name: str,
    options: Mapping[str, Any],
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: DataclassInstance,
    about: Mapping[str, Any],
) -> None:
    """Write a checkpoint, `checkpoint-<name>`; the one before stays whole until this one is."""
    file = f"checkpoint-{name}.safetensors"
    tensors = {f"model.{key}": value.contiguous().cpu() for key, value in network.state_dict().items()}
    for key, weight in network.named_parameters():
        for part, value in optimizer.state.get(weight, {}).items():
            tensors[f"optimizer.{key}.{part}"] = torch.as_tensor(value).contiguous().cpu()
    save_file(tensors, folder / file)
    state = {"options": dict(options), "about": dict(about), "progress": asdict(progress), "weights": file}
    replace_text(folder / STATE, json.dumps(state, indent=1) + "\n")
    for old in folder.glob("checkpoint-*.safetensors"):
        if old.name != file:
            old.unlink()


def load_state(
    folder: Path,
    options: Mapping[str, Any],
    free: Collection[str],
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    kind: type[Progress],
    about: Mapping[str, Any],
) -> Progress | None:
    """Put a checkpoint into network and optimizer, if there is one; the progress, of class `kind`.

    UserError if it is damaged, or of other options (but those that are `free`), data or start.
    """
    if not (folder / STATE).is_file():
        return None
    try:
        kept = json.loads((folder / STATE).read_text("utf-8"))
        tensors = load_file(folder / f"{kept['weights']}")
        before, seen = kept["options"], kept["about"]
        known = {entry.name for entry in fields(kind)}
        progress = kind(**{name: value for name, value in kept["progress"].items() if name in known})
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as fault:
        raise UserError(
            f"{folder / STATE}: is damaged ({fault}); remove the folder or choose another"
        ) from fault
    for name, value in options.items():
        if name not in free and before.get(name) != value:
            raise UserError(
                f"{folder}: was trained with {name} {shown(before.get(name))}, not {shown(value)}; "
                "give the same options to go on, or another folder"
            )
    if seen != about:
        what = "from another start" if seen.get("start") != about.get("start") else "on other data"
        raise UserError(f"{folder}: was trained {what}; choose another folder")
    network.load_state_dict(_under("model.", tensors))
    for key, weight in network.named_parameters():
        if state := _under(f"optimizer.{key}.", tensors):
            optimizer.state[weight] = {
                name: value if name == "step" else value.to(weight.device) for name, value in state.items()
            }
    return progress


def save_weights(file: Path, network: torch.nn.Module) -> None:
    """Write a network's weights; the file is whole at any time."""
    partial = file.with_name(file.name + ".partial")
    save_file({key: value.contiguous().cpu() for key, value in network.state_dict().items()}, partial)
    os.replace(partial, file)


def _under(lead: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(lead): value for name, value in tensors.items() if name.startswith(lead)}

"""What training leaves in its folder: a checkpoint to go on from, and the best adapter in PEFT's format."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file

from testbed.errors import UserError, shown

if TYPE_CHECKING:
    from testbed.tuning.training import Training

STATE, WEIGHTS = "checkpoint.json", "checkpoint.safetensors"
ADAPTER, CONFIG = "adapter_model.safetensors", "adapter_config.json"


@dataclass(slots=True)
class Progress:
    """How far training is. `best`: lowest validation loss; `waited`: looks since then."""

    step: int = 0
    tokens: int = 0
    best: float = float("inf")
    waited: int = 0
    looked: bool = False


def load(folder: Path, training: Training) -> Progress:
    """Put the checkpoint's state into the training, if there is one; UserError if it is of other options."""
    if not (folder / STATE).is_file():
        return Progress()
    try:
        kept = json.loads((folder / STATE).read_text("utf-8"))
        tensors = load_file(folder / f"{kept['weights']}")
        options, known = kept["options"], {entry.name for entry in fields(Progress)}
        progress = Progress(**{name: value for name, value in kept["progress"].items() if name in known})
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise UserError(
            f"{folder / STATE}: is damaged ({fault}); remove the folder or choose another"
        ) from fault
    steps = options.get("steps", 0)
    before = training.options.model_copy(update={"steps": steps})
    free = training.options.free
    if progress.step <= min(before.steady, training.options.steady):
        free += ("steps",)
    for name, value in training.options.model_dump(mode="json").items():
        if name not in free and options.get(name) != value:
            raise UserError(
                f"{folder}: was trained with {name} {shown(options.get(name))}, not {shown(value)}; "
                "give the same options to go on, or another folder"
            )
    for index, weight in enumerate(training.weights):
        weight.data.copy_(tensors[f"weight.{index}"])
        if progress.step:
            training.optimizer.state[weight] = {
                "step": torch.tensor(float(progress.step)),
                "exp_avg": tensors[f"mean.{index}"].to(weight.device),
                "exp_avg_sq": tensors[f"square.{index}"].to(weight.device),
            }
    return progress


def save(folder: Path, training: Training) -> None:
    """Write a checkpoint; the earlier one stays whole until this one is."""
    tensors = {}
    for index, weight in enumerate(training.weights):
        tensors[f"weight.{index}"] = weight.data.contiguous().cpu()
        state = training.optimizer.state.get(weight)
        if state:
            tensors[f"mean.{index}"] = state["exp_avg"].contiguous().cpu()
            tensors[f"square.{index}"] = state["exp_avg_sq"].contiguous().cpu()
    name = f"checkpoint-{training.progress.step}.safetensors"
    save_file(tensors, folder / name)
    state = {
        "options": training.options.model_dump(mode="json"),
        "model": training.model.fingerprint,
        "progress": asdict(training.progress),
        "weights": name,
    }
    replace_text(folder / STATE, json.dumps(state, indent=1) + "\n")
    for old in folder.glob("checkpoint-*.safetensors"):
        if old.name != name:
            old.unlink()


def save_adapter(folder: Path, training: Training) -> None:
    """Write the adapter in half precision, as PEFT reads it."""
    tensors = {}
    for name, adapter in training.adapters.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = adapter.a.data.half().contiguous().cpu()
        tensors[f"base_model.model.{name}.lora_B.weight"] = adapter.b.data.half().contiguous().cpu()
    partial = folder / (ADAPTER + ".partial")
    save_file(tensors, partial, metadata={"format": "pt"})
    os.replace(partial, folder / ADAPTER)
    options = training.options
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": options.model,
        "base_fingerprint": training.model.fingerprint,
        "r": options.rank,
        "lora_alpha": options.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": sorted({name.rpartition(".")[2] for name in training.adapters}),
        "layers_to_transform": sorted({int(name.split(".")[2]) for name in training.adapters}),
        "layers_pattern": "layers",
    }
    replace_text(folder / CONFIG, json.dumps(config, indent=1) + "\n")


def replace_text(path: Path, text: str) -> None:
    """Write a file that is whole or as it was, whatever happens."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, "utf-8")
    os.replace(partial, path)

"""What a training leaves: the best heads so far, and a state to go on from; safetensors and JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from retrievers.goals.stored import ABOUT, VERSION, WEIGHTS
from testbed.tuning.checkpoint import replace_text
from testbed.tuning.state import STATE, load_state, save_state, save_weights

if TYPE_CHECKING:
    from retrievers.goals.model import CurvedHeads

__all__ = ["STATE", "Progress", "load", "load_best", "save", "save_best"]


@dataclass(slots=True)
class Progress:
    """How far a training is. `best`: least validation; `waited`: epochs since then."""

    epoch: int = 0
    best: float = float("inf")
    best_epoch: int = 0
    waited: int = 0


def save(
    folder: Path,
    given: Mapping[str, Any],
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    about: Mapping[str, Any],
) -> None:
    """Write a checkpoint after an epoch. `given`: the options."""
    save_state(folder, str(progress.epoch), given, network, optimizer, progress, about)


def load(
    folder: Path,
    given: Mapping[str, Any],
    free: Collection[str],
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    about: Mapping[str, Any],
) -> Progress | None:
    """Put a checkpoint into network and optimizer, see `testbed.tuning.state.load_state`."""
    return load_state(folder, given, free, network, optimizer, Progress, about)


def load_best(folder: Path, heads: CurvedHeads) -> None:
    """Put the best weights so far into heads."""
    heads.load_state_dict(load_file(folder / WEIGHTS))


def save_best(folder: Path, heads: CurvedHeads, about: Mapping[str, Any]) -> None:
    """Write the heads as they are now, for use."""
    save_weights(folder / WEIGHTS, heads)
    replace_text(folder / ABOUT, json.dumps({"version": VERSION, **about}, indent=1) + "\n")

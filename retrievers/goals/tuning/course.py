"""A training as a row of epochs that can be interrupted after each."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retrievers.goals.tuning import checkpoint
from retrievers.goals.tuning.options import GoalsTrainer
from testbed.errors import UserError
from testbed.seeds import rng_for

LEAST = 0.1
"""What of the learning rate is left after its decay."""
Tell = Callable[[dict[str, Any]], None]


class Course(ABC):
    """Every epoch is a function of seed, epoch and the state before it.

    The best epoch is the one with the least validation. `windows`: (W, 5) numbers of utterances. `network`: what
    learns and goes into checkpoints. `given`: the options that it depends on. `about`: what else it must go on with.
    """

    purpose: str
    options: GoalsTrainer
    folder: Path
    seed: int
    windows: np.ndarray
    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    given: dict[str, Any]
    about: dict[str, Any]
    progress: checkpoint.Progress

    @property
    @abstractmethod
    def most(self) -> int:
        """Most epochs."""

    @abstractmethod
    def look(self) -> float:
        """Mean rank ÷ pool over histories of 1..10 on validation."""

    @abstractmethod
    def _backward(self, cut: np.ndarray, rng: np.random.Generator) -> Tensor:
        """The loss of a batch of windows, its gradients left in the network."""

    @abstractmethod
    def _keep(self) -> None:
        """Keep the weights as the best so far."""

    @abstractmethod
    def _recall(self) -> None:
        """Put the best weights so far into the network."""

    def resumed(self) -> checkpoint.Progress | None:
        """Put the checkpoint into network and optimizer; None where there is none."""
        free = self.options.free
        return checkpoint.load(self.folder, self.given, free, self.network, self.optimizer, self.about)

    def run(self, tell: Tell) -> None:
        """Train to the end, where the weights are the best ones; `tell` gets a line for every epoch."""
        progress = self.progress
        while progress.epoch < self.most and progress.waited < self.options.patience:
            began = time.perf_counter()
            loss = self._epoch()
            found = self.look()
            progress.epoch += 1
            better = found < progress.best
            progress.waited = 0 if better else progress.waited + 1
            if better:
                progress.best, progress.best_epoch = found, progress.epoch
                self._keep()
            checkpoint.save(self.folder, self.given, self.network, self.optimizer, progress, self.about)
            seconds = round(time.perf_counter() - began, 2)
            tell({"epoch": progress.epoch, "loss": loss, "validation": found, "seconds": seconds})
        self._recall()

    def _epoch(self) -> float:
        """One pass over the windows; the mean loss."""
        rng = rng_for(self.seed, self.purpose, self.progress.epoch)
        fallen = min(1.0, self.progress.epoch / self.options.decay)
        rate = LEAST + (1 - LEAST) * (1 + math.cos(math.pi * fallen)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        order = rng.permutation(len(self.windows))
        total = 0.0
        with torch.enable_grad():
            for begin in range(0, len(order), self.options.batch):
                cut = self.windows[np.sort(order[begin : begin + self.options.batch])]
                self.optimizer.zero_grad(set_to_none=True)
                loss = self._backward(cut, rng)
                self.optimizer.step()
                total += float(loss.detach()) * len(cut)
        if not np.isfinite(total):
            raise UserError(f"seed {self.seed}: the loss is no number any more; lower {self._rate}")
        return total / len(order)

    _rate = "learning_rate"

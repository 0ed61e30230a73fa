"""The training of heads on vectors that stay as they are."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retrievers.goals.data import Split, pairs, windows
from retrievers.goals.evaluation import mean_share, next_ranks
from retrievers.goals.model import CurvedHeads
from retrievers.goals.model.losses import Margins, softmax_margin, squared_error
from retrievers.goals.scoring import Curvature
from retrievers.goals.tuning import checkpoint
from retrievers.goals.tuning.options import GoalsTrainer
from testbed.errors import UserError
from testbed.seeds import rng_for

LEAST = 0.1
"""What of the learning rate is left after its decay."""
Tell = Callable[[dict[str, Any]], None]


class Training:
    """Heads on their way; every epoch is a function of seed, epoch and the state before it.

    `vectors`: of the training utterances and of the validating ones, (n, width) each. The best epoch is the one with
    the least mean rank ÷ pool over histories of 1..10 on validation. Untrained heads do not compete: they know no
    direction, and stand beside the trained ones in the figures.
    """

    def __init__(
        self,
        options: GoalsTrainer,
        split: Split,
        vectors: tuple[np.ndarray, np.ndarray],
        encoder: str,
        folder: Path,
        seed: int,
        device: torch.device,
    ) -> None:
        self.options, self.split, self.folder, self.seed, self.device = options, split, folder, seed, device
        self.vectors, self.validating = torch.from_numpy(np.array(vectors[0])).to(device), vectors[1]
        self.windows = windows(split.training)
        if not len(self.windows) and options.epochs:
            raise UserError(f"{options.data}: no dialogue has six turns to learn from")
        self.heads = CurvedHeads(self.vectors.shape[1]).to(device)
        self.optimizer = torch.optim.AdamW(
            self.heads.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        self.about: dict[str, Any] = {
            "training": split.training.fingerprint,
            "validation": split.validation.fingerprint,
            "encoder": options.encoder,
            "encoder_fingerprint": encoder,
            "width": self.heads.width,
            "loss": options.loss,
            "seed": seed,
        }
        kept = checkpoint.load(folder, options, self.heads, self.optimizer, self.about)
        self.progress = kept or self._begun()

    def run(self, tell: Tell) -> None:
        """Train to the end, where the heads are the best ones; `tell` gets a line for every epoch."""
        progress = self.progress
        while progress.epoch < self.options.epochs and progress.waited < self.options.patience:
            began = time.perf_counter()
            loss = self._epoch()
            found = self._look()
            progress.epoch += 1
            better = found < progress.best
            progress.waited = 0 if better else progress.waited + 1
            if better:
                progress.best, progress.best_epoch = found, progress.epoch
                checkpoint.save_best(self.folder, self.heads, self.about)
            self._save()
            seconds = round(time.perf_counter() - began, 2)
            tell({"epoch": progress.epoch, "loss": loss, "validation": found, "seconds": seconds})
        checkpoint.load_best(self.folder, self.heads)

    def _begun(self) -> checkpoint.Progress:
        checkpoint.save_best(self.folder, self.heads, self.about)
        return checkpoint.Progress()

    def _save(self) -> None:
        checkpoint.save(self.folder, self.options, self.heads, self.optimizer, self.progress, self.about)

    def _epoch(self) -> float:
        """One pass over the windows; the mean loss."""
        rng = rng_for(self.seed, "goals", self.progress.epoch)
        fallen = min(1.0, self.progress.epoch / self.options.decay)
        rate = LEAST + (1 - LEAST) * (1 + math.cos(math.pi * fallen)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.learning_rate * rate
        order = rng.permutation(len(self.windows))
        total = 0.0
        with torch.enable_grad():
            for begin in range(0, len(order), self.options.batch):
                cut = self.windows[np.sort(order[begin : begin + self.options.batch])]
                self.optimizer.zero_grad(set_to_none=True)
                loss = self._loss(cut, rng)
                loss.backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()
                total += float(loss.detach()) * len(cut)
        if not np.isfinite(total):
            raise UserError(f"seed {self.seed}: the loss is no number any more; lower learning_rate")
        return total / len(order)

    def _loss(self, cut: np.ndarray, rng: np.random.Generator) -> Tensor:
        options = self.options
        if options.loss == "mse":
            some = pairs(cut, self.split.training.rows, rng)
            labels = torch.from_numpy(some.labels.astype(np.float32)).to(self.device)
            even = torch.from_numpy(some.even).to(self.device)
            return squared_error(self.heads, self._of(some.before), self._of(some.after), even, labels)
        said = torch.from_numpy(cut).to(self.device)
        how = Margins(options.temperature, options.margin, options.direction)
        return softmax_margin(self.heads, self._of(cut), said, how)

    def _of(self, rows: np.ndarray) -> Tensor:
        return self.vectors[torch.from_numpy(rows.astype(np.int64)).to(self.device)]

    def _look(self) -> float:
        curvature = Curvature.of(self.validating, self.heads)
        return mean_share(next_ranks(self.split.validation, curvature))

"""The training of one model: its backbone on all positions, then reasoning steps on drawn ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from retrievers.rearec.data import Fold, Split
from retrievers.rearec.data.batches import Batch, batches, windows
from retrievers.rearec.evaluation import ranks
from retrievers.rearec.model import SequentialModel
from retrievers.rearec.model.losses import Candidates, ensemble, progressive, softmax_loss
from retrievers.rearec.predict import READS, scorer
from retrievers.rearec.tuning import checkpoint
from retrievers.rearec.tuning.options import RearecTrainer
from testbed.errors import UserError
from testbed.seeds import rng_for

CLIP = 5.0
"""Largest norm of a gradient."""
SLOWER = 5.0
"""What the learning rate is divided by when a phase goes on after waiting in vain."""
Tell = Callable[[dict[str, Any]], None]


class Training:
    """A model on its way; every epoch is a function of seed, phase, epoch and the state before it."""

    def __init__(
        self,
        options: RearecTrainer,
        split: Split,
        folder: Path,
        seed: int,
        vectors: Tensor | None,
        device: torch.device,
    ) -> None:
        self.options, self.split, self.folder, self.seed, self.device = options, split, folder, seed, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = SequentialModel(options.model, len(split.interactions.items), vectors).to(device)
        self.optimizer = torch.optim.Adam(_groups(self.model, options.weight_decay), lr=options.learning_rate)
        self.about = {
            "data": split.interactions.fingerprint,
            "split": split.rule,
            "items": len(split.interactions.items),
            "options": options.model.model_dump(mode="json"),
            "read": READS[options.loss],
            "loss": options.loss,
            "encoder": options.encoder if options.items != "id" else None,
            "seed": seed,
        }
        if options.start is not None:
            self.about["start"] = checkpoint.begin(options.start / f"seed-{seed}", self.model, self.about)
        first = checkpoint.Progress(phase=0 if options.start is None or options.loss == "base" else 1)
        self.progress = checkpoint.load(folder, options, self.model, self.optimizer, self.about) or first
        self.windows = windows(split, options.length)
        if not len(self.windows):
            raise UserError(f"{options.data}: no user has two interactions to learn from")
        self.validation = some(split.validation, options.validation_users)

    def run(self, tell: Tell) -> None:
        """Train to the end, where the model has its best weights; `tell` gets a line for every epoch."""
        while True:
            if self._waited_enough() and self.progress.decays < self.options.decays:
                self._slow_down()
            if self._over():
                if self._last():
                    return checkpoint.load_best(self.folder, self.model)
                self._next_phase()
                continue
            began = time.perf_counter()
            loss = self._epoch()
            found = self._look()
            self.progress.epoch += 1
            better = found > self.progress.best
            self.progress.waited = 0 if better else self.progress.waited + 1
            if better:
                self.progress.best, self.progress.best_epoch = found, self.progress.epoch
                checkpoint.save_best(self.folder, self.model, self.about)
            self._save()
            tell(
                {
                    "phase": ("backbone", "reasoning")[self.progress.phase],
                    "epoch": self.progress.epoch,
                    "loss": loss,
                    self.options.measure: found,
                    "seconds": round(time.perf_counter() - began, 2),
                }
            )

    @property
    def reasoning(self) -> bool:
        """Whether steps are taught now."""
        return self.progress.phase == 1

    def _over(self) -> bool:
        options, progress = self.options, self.progress
        most = options.reasoning_epochs if self.reasoning else options.epochs
        return progress.epoch >= most or self._waited_enough()

    def _waited_enough(self) -> bool:
        return self.progress.waited >= self.options.patience

    def _slow_down(self) -> None:
        """On from the best weights in smaller steps."""
        checkpoint.load_best(self.folder, self.model)
        self.progress.decays, self.progress.waited = self.progress.decays + 1, 0
        self.optimizer.state.clear()
        self._save()

    def _last(self) -> bool:
        return self.reasoning or self.options.loss == "base" or not self.options.reasoning_epochs

    def _next_phase(self) -> None:
        """From the best backbone to its steps."""
        checkpoint.load_best(self.folder, self.model)
        self.progress = checkpoint.Progress(phase=1)
        self.optimizer.state.clear()
        self._save()

    def _save(self) -> None:
        checkpoint.save(self.folder, self.options, self.model, self.optimizer, self.progress, self.about)

    def _epoch(self) -> float:
        """One pass over the windows; the mean loss."""
        options, model = self.options, self.model
        rng = rng_for(self.seed, "epoch", self.progress.phase, self.progress.epoch)
        alone = options.backbone == "bert4rec"
        branches = options.branches if self.reasoning or alone else None
        rate = (options.reasoning_rate if self.reasoning else None) or options.learning_rate
        for group in self.optimizer.param_groups:
            group["lr"] = rate / SLOWER**self.progress.decays
        total, count = 0.0, 0
        model.train()
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(int(rng.integers(2**31)))
            for batch in batches(self.split, self.windows, options.batch, branches, rng, alone):
                self.optimizer.zero_grad(set_to_none=True)
                with torch.autocast(self.device.type, torch.bfloat16, enabled=options.precision == "bf16"):
                    loss = self._loss(batch.to(self.device), rng)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(model.parameters(), CLIP)
                self.optimizer.step()
                total, count = total + float(loss.detach()) * len(batch.targets), count + len(batch.targets)
        if not np.isfinite(total):
            raise UserError(f"seed {self.seed}: the loss is no number any more; lower learning_rate")
        return total / max(1, count)

    def _loss(self, batch: Batch, rng: np.random.Generator) -> Tensor:
        options, model = self.options, self.model
        table = model.items.table()
        negatives = None
        if options.negatives is not None and options.negatives < len(table):
            drawn = rng.integers(len(table), size=options.negatives)
            negatives = torch.from_numpy(drawn).to(self.device)
        among = Candidates(table, batch.targets, negatives)
        steps = None if self.reasoning else 0
        states = model.states(table, batch.histories, batch.ends, steps=steps)[:, batch.wanted]
        if not self.reasoning:
            return softmax_loss(model, states[0], among)
        if options.loss == "erl":
            return ensemble(model, states, among, options.diversity)
        if options.loss == "prl":
            noisy = model.states(table, batch.histories, batch.ends, noise=options.noise)[:, batch.wanted]
            return progressive(model, states, noisy, among, options.sharpening, options.contrast)
        return softmax_loss(model, states[-1], among)

    def _look(self) -> float:
        read, steps = (READS[self.options.loss], None) if self.reasoning else (READS["base"], 0)
        scored = scorer(self.model, self.split, read, steps=steps)
        return ranks(scored, self.split.interactions, self.validation).summary()[self.options.measure]


def some(fold: Fold, most: int) -> Fold:
    """At most so many users of a fold, always the same."""
    if len(fold) <= most:
        return fold
    rows = np.sort(np.random.default_rng(0).permutation(len(fold))[:most])
    return Fold(fold.users[rows], fold.ends[rows], fold.targets[rows])


def _groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weights with and without decay: vectors and the parameters of state spaces have none."""
    named = dict(model.named_parameters())
    free = {name for name, weight in named.items() if weight.ndim < 2 or ".spaces." in name}
    return [
        {"params": [weight for name, weight in named.items() if name not in free], "weight_decay": decay},
        {"params": [weight for name, weight in named.items() if name in free], "weight_decay": 0.0},
    ]

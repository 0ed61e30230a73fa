"""The training loop of one process: updates, looks at validation data, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from testbed.tuning import checkpoint
from testbed.tuning.lora import LowRank, attach

if TYPE_CHECKING:
    from testbed.language import LanguageModel
    from testbed.tuning.options import LowRankTrainer, Task

CLIP = 1.0
"""Largest norm of an update's gradient."""
DECAYED = 0.1
"""Least share of the peak learning rate at the end."""

Combine = Callable[[torch.Tensor], None]
"""Sums a vector over all processes, in place."""


class Training:
    """A model with adapters on its way through the updates. `rank` of `processes` computes every so-manieth unit."""

    def __init__(
        self,
        model: LanguageModel,
        options: LowRankTrainer,
        folder: Path,
        task: Callable[[LanguageModel], Task],
        *,
        rank: int = 0,
        processes: int = 1,
        combine: Combine = lambda vector: None,
    ) -> None:
        self.model, self.options, self.folder = model, options, folder
        self.rank, self.processes, self.combine = rank, processes, combine
        self.adapters: dict[str, LowRank] = attach(
            model.model,
            rank=options.rank,
            alpha=options.alpha,
            first_layer=options.first_layer,
            seed=options.seed,
        )
        self.weights = [weight for adapter in self.adapters.values() for weight in (adapter.a, adapter.b)]
        self.optimizer = torch.optim.AdamW(self.weights, lr=options.learning_rate, weight_decay=0.0)
        self.progress = checkpoint.load(folder, self)
        self._refresh()
        self.task = task(model)

    @property
    def finished(self) -> bool:
        """Whether all updates are done or patience has run out."""
        return self.progress.step >= self.options.steps or self.progress.waited >= self.options.patience

    def run(self, tell: Callable[[dict[str, float]], None]) -> None:
        """Train to the end. `tell` gets a line for every update and every look; called in the first process only."""
        while not self.finished:
            if self.progress.step == 0 and not self.progress.looked:
                self._look(tell)
            began = time.perf_counter()
            found, tokens = self._update()
            self.progress.step += 1
            self.progress.tokens += tokens
            seconds = time.perf_counter() - began
            self._tell(tell, loss=found, tokens=tokens, seconds=round(seconds, 3))
            if (
                self.progress.step % self.options.evaluate_every == 0
                or self.progress.step == self.options.steps
            ):
                self._look(tell)

    def rate(self, step: int) -> float:
        """Learning rate of an update."""
        options = self.options
        risen = (step + 1) / max(1, options.warmup)
        left = (options.steps - step) / max(1.0, options.steps - options.steady)
        return options.learning_rate * min(1.0, risen, max(DECAYED, left))

    def _update(self) -> tuple[float, int]:
        """One update; mean loss of its examples above the least, and the tokens that all processes computed."""
        step = self.progress.step
        excess, count, tokens = 0.0, 0, 0
        for index in range(self.rank, self.task.units, self.processes):
            with torch.enable_grad():
                taught = self.task.unit(step, index)
                taught.loss.backward()  # type: ignore[no-untyped-call]
            excess += float(taught.loss.detach()) - taught.least
            count += taught.count
            tokens += taught.tokens
        slopes = [
            weight.grad if weight.grad is not None else torch.zeros_like(weight) for weight in self.weights
        ]
        together = torch.cat(
            [
                *(slope.flatten() for slope in slopes),
                torch.tensor([excess, count, tokens], device=slopes[0].device),
            ]
        )
        self.combine(together)
        excess, asked, computed = (float(value) for value in together[-3:])
        flat = together[:-3] / asked
        flat *= min(1.0, CLIP / (float(flat.norm()) + 1e-9))
        for weight, slope in zip(
            self.weights, torch.split(flat, [weight.numel() for weight in self.weights]), strict=True
        ):
            weight.grad = slope.view_as(weight)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._refresh()
        return excess / asked, int(computed)

    def _look(self, tell: Callable[[dict[str, float]], None]) -> None:
        """Validation; keeps the best adapter, writes a checkpoint."""
        with torch.no_grad():
            together = torch.tensor(self.task.look(self.rank, self.processes), dtype=torch.float64)
        self.combine(together)
        found = float(together[0] / together[1])
        self.progress.looked = True
        better = found < self.progress.best
        self.progress.best, self.progress.waited = (
            (found, 0) if better else (self.progress.best, self.progress.waited + 1)
        )
        if self.rank == 0:
            if better:
                checkpoint.save_adapter(self.folder, self)
            checkpoint.save(self.folder, self)
        self._tell(tell, validation=found)

    def _tell(self, tell: Callable[[dict[str, float]], None], **values: float) -> None:
        if self.rank == 0:
            tell({"step": self.progress.step, **values})

    def _refresh(self) -> None:
        for adapter in self.adapters.values():
            adapter.refresh()

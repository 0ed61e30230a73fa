"""Options that all fine-tunings of language models share, and what a fine-tuning has to say of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from pydantic import Field

from testbed.protocols import TrainerPlugin

if TYPE_CHECKING:
    from torch import Tensor

    from testbed.environment import Environment
    from testbed.language import LanguageModel


@dataclass(frozen=True, slots=True)
class Taught:
    """What a unit of an update comes to. `loss`: summed over `count` examples. `least`: no model can go below."""

    loss: Tensor
    least: float
    count: int
    tokens: int


class Task(Protocol):
    """What a model is taught. Everything is a function of options and step, so that training can go on anywhere."""

    @property
    def units(self) -> int:
        """Units of an update; processes share them."""
        ...

    def unit(self, step: int, index: int) -> Taught:
        """Loss of one unit, with gradients where they are enabled."""
        ...

    def look(self, rank: int, processes: int) -> tuple[float, float]:
        """Validation: a sum and what it is to be divided by, of this process's share; lower is better."""
        ...


class LowRankTrainer(TrainerPlugin):
    """Fine-tune a causal language model with low-rank adapters (LoRA, Hu et al. 2021, arXiv 2106.09685)."""

    free: ClassVar[tuple[str, ...]] = ("workers",)
    """Options that may change when a training goes on: updates do not depend on them, but for rounding."""

    model: str = "smollm2-135m"
    """Packaged name, local folder, GGUF file or hub id."""
    rank: int = Field(default=10, ge=1, le=256)
    """Rank of the adapters (Hu et al. 2021); 10 on 22 layers of the default model is 4.5 MB."""
    alpha: float = Field(default=20.0, gt=0)
    """The adapters' product is scaled by alpha / rank."""
    first_layer: int = Field(default=8, ge=0)
    """Layers below keep their weights: their backward pass is saved."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak of the schedule: linear warm-up, constant, linear decay to a tenth (Hu et al. 2024, WSD)."""
    warmup: int = Field(default=30, ge=0)
    """Steps of the warm-up."""
    steps: int = Field(default=1200, ge=1)
    """Updates. May change when a training goes on that has not begun to decay."""
    decay: float = Field(default=0.2, ge=0, le=1)
    """Share of the steps, the last ones, in which the learning rate falls."""
    evaluate_every: int = Field(default=50, ge=1)
    """Steps between looks at validation data; the best adapter so far is kept."""
    patience: int = Field(default=8, ge=1)
    """Looks without a better result before training ends early."""
    seed: int = Field(default=0, ge=0)
    """Of the adapters and of everything that is drawn."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes that share an update; on a CPU, two of one thread beat one of two."""

    @property
    def steady(self) -> int:
        """Updates before the learning rate falls."""
        return round(self.steps * (1 - self.decay))

    def task(self, model: LanguageModel, env: Environment) -> Task:
        """What the model is taught, made in every process."""
        raise NotImplementedError

    def describe(self, folder: Path, env: Environment) -> None:
        """Measure what came of it and write its card."""

    def train(self, folder: Path, env: Environment) -> None:
        """Train into `folder`, going on with what is there."""
        from testbed.tuning.processes import train

        train(self, folder, env)
        self.describe(folder, env)

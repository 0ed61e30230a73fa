"""Options of `testbed train recommender`; torch is imported when training begins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from testbed.protocols import TrainerPlugin

if TYPE_CHECKING:
    from testbed.environment import Environment


class RecommenderTrainer(TrainerPlugin):
    """Fine-tune a language model to rank listings for a request: LoRA on made-up catalogs, loss on the choice."""

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
    pages: int = Field(default=4, ge=1)
    """Pages of listings an update."""
    requests: int = Field(default=10, ge=1)
    """Requests a page; they share the page's tokens."""
    tokens: int = Field(default=1000, ge=100)
    """Most tokens of a page with its requests; larger pages lose listings."""
    ramp: int = Field(default=360, ge=0)
    """First steps, in which lists grow from at most 5 to 14 listings."""
    evaluate_every: int = Field(default=50, ge=1)
    """Steps between looks at the validation pages; the best adapter so far is kept."""
    validation_pages: int = Field(default=12, ge=1)
    """Pages of the training categories that are never trained on."""
    measured_pages: int = Field(default=25, ge=1)
    """Held-out pages of each length for the figures of the model card."""
    patience: int = Field(default=8, ge=1)
    """Looks without a better validation loss before training ends early."""
    seed: int = Field(default=0, ge=0)
    """Of the adapters and of all pages."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes that share the pages of an update; on a CPU, two of one thread beat one of two."""

    @property
    def steady(self) -> int:
        """Updates before the learning rate falls."""
        return round(self.steps * (1 - self.decay))

    def train(self, folder: Path, env: Environment) -> None:
        """Train into `folder`, going on with what is there."""
        from retrievers.llm.tuning.workers import train

        train(self, folder, env)

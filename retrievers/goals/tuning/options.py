"""Options of `testbed train goals`; torch is imported when training begins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from testbed.protocols import TrainerPlugin

if TYPE_CHECKING:
    from testbed.environment import Environment


OF_ENCODER = ("encoder_layers", "encoder_epochs", "encoder_learning_rate")
"""Options that only fine-tuning depends on."""


class GoalsTrainer(TrainerPlugin):
    """Train heads whose cosines say what follows what in a dialogue (CCL: Erker et al. 2022)."""

    free: ClassVar[tuple[str, ...]] = (
        "data",
        "validation",
        "test",
        "seeds",
        "epochs",
        "patience",
        "encoder_epochs",
    )
    """Options that may change when a training goes on; what the files hold may not."""

    data: Annotated[Path, "path relative to the working directory"]
    """Dialogues: a file (DailyDialog's text, ReDial's or our JSON lines), or a folder with one of `train` in its name
    and perhaps ones of `valid` and `test`."""
    validation: Path | None = None
    """Dialogues that choose the best epoch; a tenth of the training dialogues where there are none."""
    test: Path | None = None
    """Dialogues that are measured, and nothing else."""
    deduplicate: bool = True
    """Remove training dialogues that share an adjacent pair of turns with test."""
    limit: int | None = Field(default=None, ge=1)
    """Only so many of the training dialogues, the first of the file."""
    loss: Literal["softmax+margin", "mse"] = "softmax+margin"
    """Softmax over a batch with a margin for direction, or the paper's squared error on labelled pairs."""
    temperature: float = Field(default=0.05, gt=0)
    """Of the softmax."""
    margin: float = Field(default=0.1, ge=0)
    """By how much a pair's cosine should exceed its reverse's."""
    direction: float = Field(default=3.0, ge=0)
    """Weight of the margin beside the softmax."""
    batch: int = Field(default=512, ge=2)
    """Windows of five turns in a batch; each is twelve pairs for `mse`."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Of AdamW; falls to a tenth along a cosine over `decay` epochs."""
    decay: int = Field(default=10, ge=1)
    """Epochs in which the learning rate falls."""
    weight_decay: float = Field(default=10.0, ge=0)
    """How strongly heads are drawn back to plain cosine: of AdamW, times the learning rate a step."""
    epochs: int = Field(default=10, ge=0)
    """Most passes over the windows; 0 leaves plain cosine."""
    patience: int = Field(default=3, ge=1)
    """Epochs without a better validation before training ends."""
    encoder: str = "minilm"
    """The sentence encoder whose vectors the heads read."""
    encoder_layers: int = Field(default=0, ge=0)
    """Its top transformer layers that learn, together with the heads, once these are trained; 0 leaves it as it is."""
    encoder_epochs: int = Field(default=2, ge=0)
    """Most passes over the windows with the encoder; `patience` holds here too."""
    encoder_learning_rate: float = Field(default=2e-5, gt=0)
    """Of the encoder's layers; that of the heads is a tenth of `learning_rate` meanwhile."""
    seeds: tuple[int, ...] = (0,)
    """Each is a training of its own, in a folder `seed-<number>`."""

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds:
            raise ValueError("seeds: expected at least one, none twice")
        return self

    def train(self, folder: Path, env: Environment) -> None:
        """Train every seed, going on with what is there; write figures beside plain cosine's."""
        from retrievers.goals.tuning.seeds import train

        train(self, folder, env)

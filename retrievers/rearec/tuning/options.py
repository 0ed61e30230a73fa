"""Options of `testbed train rearec`; torch is imported when training begins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from retrievers.rearec.data.fakes import Fakes
from retrievers.rearec.model.options import ModelOptions
from testbed.protocols import TrainerPlugin

if TYPE_CHECKING:
    from testbed.environment import Environment


def _several(value: object) -> object:
    return [value] if isinstance(value, Mapping) else value


class RearecTrainer(TrainerPlugin, ModelOptions):
    """Train a sequential recommender, with or without latent reasoning steps (ReaRec: Tang et al. 2025)."""

    free: ClassVar[tuple[str, ...]] = (
        "data",
        "fakes",
        "seeds",
        "epochs",
        "reasoning_epochs",
        "patience",
        "decays",
    )
    """Options that may change when a training goes on; what `data` holds may not."""

    data: Annotated[Path, "path relative to the working directory"]
    """Interactions: a file or a folder with one (RecBole atomic files, `user item item …`, JSON lines)."""
    split: Literal["leave_one_out", "time", "users"] = "leave_one_out"
    """What is held out: everybody's last two items, the newest tenths of all interactions, or the last tenths of the
    users."""
    fakes: Annotated[tuple[Fakes, ...], BeforeValidator(_several)] = ()
    """Fake users that are learnt from beside the genuine ones: `{kind, share, target}`, or a list of such."""
    loss: Literal["base", "last", "erl", "prl"] = "base"
    """How steps are taught: not at all, at the last one, as an ensemble, or progressively."""
    diversity: float = Field(default=0.01, ge=0)
    """λ of `erl`: how strongly steps are pushed apart."""
    sharpening: float = Field(default=2.0, gt=0)
    """α of `prl`: how much sharper a step's softmax is than the one before."""
    contrast: float = Field(default=1.0, ge=0)
    """Weight of `prl`'s contrast between noisy and clean states."""
    noise: float = Field(default=0.01, ge=0)
    """Standard deviation of the noise in `prl`."""
    negatives: int | None = Field(default=None, ge=1)
    """Items drawn for each batch that targets compete with; all items when left out."""
    batch: int = Field(default=4096, ge=1)
    """Positions of a batch, about."""
    branches: int = Field(default=4, ge=1)
    """Positions of each history that reasoning is learnt at in an epoch."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Of Adam; constant but for `decays`."""
    reasoning_rate: float | None = Field(default=None, gt=0)
    """Learning rate while steps are taught; as before when left out."""
    decays: int = Field(default=0, ge=0)
    """How often a phase that waited in vain goes on from its best weights, at a fifth of the learning rate."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Of all weights but those of state spaces, norms and biases."""
    precision: Literal["float32", "bf16"] = "float32"
    """Of the matrix products in training; weights, sums and figures stay float32."""
    epochs: int = Field(default=200, ge=1)
    """Most epochs of the backbone."""
    reasoning_epochs: int = Field(default=50, ge=0)
    """Most epochs with reasoning steps, from the best backbone."""
    start: Path | None = None
    """Folder of a training with `loss: base` from whose backbones, seed by seed, this one begins: with its reasoning,
    or with `loss: base` on the backbone again, by other options."""
    patience: int = Field(default=10, ge=1)
    """Epochs without a better validation before a phase ends."""
    measure: Literal["NDCG@10", "NDCG@20", "Recall@10", "Recall@20"] = "NDCG@10"
    """What is best, on the validation items, history left out."""
    validation_users: int = Field(default=5000, ge=1)
    """Most users that are validated on, the same in every epoch."""
    encoder: str = "minilm"
    """Sentence encoder of the items' texts, for `items: text` and `both`."""
    seeds: tuple[int, ...] = (0,)
    """Each is a training of its own, in a folder `seed-<number>`."""

    @model_validator(mode="after")
    def _reasons(self) -> Self:
        if self.loss != "base" and not self.steps:
            raise ValueError(f"loss {self.loss!r} needs reasoning steps: set steps=2, for instance")
        if self.loss == "base" and self.steps:
            raise ValueError(f"{self.steps} steps need a loss that teaches them: erl, prl or last")
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds:
            raise ValueError("seeds: expected at least one, none twice")
        return self

    @property
    def model(self) -> ModelOptions:
        """The architecture alone."""
        return ModelOptions(**{name: getattr(self, name) for name in ModelOptions.model_fields})

    def train(self, folder: Path, env: Environment) -> None:
        """Train every seed, going on with what is there; write figures beside the floors."""
        from retrievers.rearec.tuning.seeds import train

        train(self, folder, env)

"""Size and kind of a sequential model; nothing heavy is imported here."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Backbone = Literal["sasrec", "bert4rec", "s4d", "gru"]
Feedback = Literal["state", "pause"]


class ModelOptions(BaseModel):
    """Architecture of a sequential model. Everything that its weights depend on."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    backbone: Backbone = "sasrec"
    """Causal attention, attention both ways, diagonal state space, or recurrent."""
    items: Literal["id", "text", "both"] = "id"
    """What an item is: an embedding of its own, its text (frozen, through an adaptor), or the sum of both."""
    width: int = Field(default=64, ge=2)
    """Size of all states (d)."""
    layers: int = Field(default=2, ge=1)
    """Layers of the backbone."""
    heads: int = Field(default=2, ge=1)
    """Heads of attention layers."""
    inner: int = Field(default=256, ge=1)
    """Width inside a feed-forward layer."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Of embeddings, reasoning inputs and layers."""
    norm: Literal["pre", "post"] = "pre"
    """Where attention layers normalise (SASRec: post; what trains more steadily: pre)."""
    length: int = Field(default=50, ge=1)
    """Last items of a history that are read."""
    steps: int = Field(default=0, ge=0, le=16)
    """Latent reasoning steps (K); 0 is the backbone alone."""
    feedback: Feedback = "state"
    """What a reasoning step reads: the state before it, or, as a control, learned inputs only (pause tokens)."""
    temperature: float = Field(default=1.0, gt=0)
    """Scores are divided by it (τ)."""
    similarity: Literal["dot", "cosine"] = "dot"
    """Of a state and an item."""
    state_size: int = Field(default=16, ge=1)
    """Complex states of every channel of `s4d`."""
    experts: int = Field(default=4, ge=1)
    """Experts of the text adaptor (UniSRec: Hou et al. 2022, arXiv 2206.05941)."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.backbone in ("sasrec", "bert4rec") and self.width % self.heads:
            raise ValueError(f"width {self.width} cannot be shared by {self.heads} heads")
        return self

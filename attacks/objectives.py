"""What a text attack optimises: losses over the scores of the listings, lower is better for the attacker."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from testbed.protocols import ObjectivePlugin, Scores

if TYPE_CHECKING:
    from torch import Tensor


class FirstItem(ObjectivePlugin):
    """Mean cross-entropy of the target's name at the first place (Kumar & Lakkaraju 2024).

    (batch, n) scores → (batch,) nats per token.
    """

    def __call__(self, scores: Scores) -> Tensor:
        return -scores.total[:, scores.target] / scores.length[scores.target]


class Margin(ObjectivePlugin):
    """How far the best rival is ahead of the target, summed log-probabilities; below zero the target wins.

    A soft maximum over rivals, (1/s) log Σ exp(s · score), keeps the gradient on all that are close.
    (batch, n) scores → (batch,) nats. Without rivals the loss is minus the target's score.
    """

    rivals: ClassVar[bool] = True
    sharpness: float = Field(default=2.0, gt=0)
    """s: larger is closer to the plain maximum."""

    def __call__(self, scores: Scores) -> Tensor:
        import torch

        target = scores.total[:, scores.target]
        keep = torch.arange(scores.total.shape[1], device=target.device) != scores.target
        if not keep.any():
            return -target
        others = scores.total[:, keep]
        return (others * self.sharpness).logsumexp(1) / self.sharpness - target

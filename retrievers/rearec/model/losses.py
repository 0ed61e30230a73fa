"""Losses of sequential models: softmax over items, and two ways of teaching steps (ReaRec, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from retrievers.rearec.model.sequential import SequentialModel

Loss = Literal["base", "last", "erl", "prl"]
"""`base`: the backbone's state alone. `last`: the last step, without a loss of its own for the others."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Items that a target competes with: all of them, or negatives drawn evenly (the same for all positions).

    `negatives`: (c,) item numbers, or None. Scores of drawn negatives are raised by log(n / c), so that the
    sum is that over all items in expectation (Bengio & Senécal 2008); a negative that is the target is left out.
    """

    table: Tensor
    targets: Tensor
    negatives: Tensor | None = None

    def logits(self, model: SequentialModel, states: Tensor) -> Tensor:
        """(P, d) → (P, n), or (P, 1 + c) with the target first."""
        if self.negatives is None:
            return model.scores(states, self.table)
        mine = model.scores(states, self.table[self.targets].unsqueeze(1))
        others = model.scores(states, self.table[self.negatives])
        others = others + torch.log(torch.tensor(len(self.table) / len(self.negatives)))
        return torch.cat([mine, others.masked_fill(self.negatives == self.targets[:, None], -torch.inf)], 1)

    @property
    def labels(self) -> Tensor:
        """Column of each target in the logits."""
        return self.targets if self.negatives is None else torch.zeros_like(self.targets)


def softmax_loss(model: SequentialModel, state: Tensor, among: Candidates) -> Tensor:
    """Mean cross-entropy of the targets: (P, d) → ()."""
    return cross_entropy(among.logits(model, state), among.labels)


def ensemble(model: SequentialModel, states: Tensor, among: Candidates, weight: float) -> Tensor:
    """ERL: cross-entropy of the mean state, less `weight` times how far the steps' predictions are apart.

    (K + 1, P, d) → (). Σ over pairs i < j of KL(y_i ‖ y_j), mean over positions. It has no upper bound: a
    prediction is taken with at least 1e-6 of the uniform distribution, and `weight` should be small.
    """
    loss = softmax_loss(model, states.mean(0), among)
    if not weight:
        return loss
    logs = [mixed(among.logits(model, state)) for state in states]
    for first in range(len(logs)):
        for second in range(first + 1, len(logs)):
            apart = kl_div(logs[second], logs[first], log_target=True, reduction="batchmean")
            loss = loss - weight * apart
    return loss


def mixed(logits: Tensor, share: float = 1e-6) -> Tensor:
    """Log-probabilities of a softmax with a little of the uniform distribution in it: no value below log(share / n)."""
    return ((1 - share) * logits.softmax(-1) + share / logits.shape[-1]).log()


def progressive(
    model: SequentialModel,
    states: Tensor,
    noisy: Tensor,
    among: Candidates,
    alpha: float,
    weight: float = 1.0,
) -> Tensor:
    """PRL: cross-entropy at every step, sharper from step to step, and noisy states that must find their clean ones.

    (K + 1, P, d), (K + 1, P, d) → (). Step k has temperature τ · α^(K − k). The contrast (InfoNCE over positions, from
    step 1 on) is between the states that noise at the steps' inputs gives and those without.
    """
    last = len(states) - 1
    loss = states.new_zeros(())
    for step, state in enumerate(states):
        logits = among.logits(model, state) / alpha ** (last - step)
        loss = loss + cross_entropy(logits, among.labels)
    own = torch.arange(states.shape[1], device=states.device)
    for step in range(1, last + 1):
        loss = loss + weight * cross_entropy(model.scores(noisy[step], states[step]), own)
    return loss

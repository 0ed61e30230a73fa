"""A trained model as a scorer of all items, step by step if wanted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from retrievers.rearec.data import Split
from retrievers.rearec.data.batches import known_histories
from retrievers.rearec.evaluation import Scorer
from retrievers.rearec.model import SequentialModel

Read = Literal["first", "last", "mean"]
"""Which state a prediction is read from: r_0, r_K, or the mean of all."""
READS: dict[str, Read] = {"base": "first", "last": "last", "erl": "mean", "prl": "last"}
"""How a model is read that was taught with a loss."""


def state_of(states: Tensor, read: Read) -> Tensor:
    """(K + 1, …, d) → (…, d)."""
    if read == "mean":
        return states.mean(0)
    return states[0] if read == "first" else states[-1]


def scorer(
    model: SequentialModel, split: Split, read: Read, *, steps: int | None = None, halt: float | None = None
) -> Scorer:
    """Scores of all items from the histories of users.

    `steps`: as many reasoning steps as this instead of the model's own. `halt`: a user's reasoning stops at the first
    step whose prediction is within so many nats (KL) of the one before.
    """
    return _Scorer(model, split, read, steps, halt)


class _Scorer:
    def __init__(
        self, model: SequentialModel, split: Split, read: Read, steps: int | None, halt: float | None
    ) -> None:
        self.model, self.split, self.read, self.steps, self.halt = model, split, read, steps, halt
        self.device = next(model.parameters()).device
        with torch.no_grad():
            model.eval()
            self.table = model.items.table()

    @torch.no_grad()
    def __call__(self, users: np.ndarray, ends: np.ndarray) -> np.ndarray:
        states = self.states(users, ends)
        if self.halt is not None:
            states = halted(self.model, states, self.table, self.halt, self.read)
        else:
            states = state_of(states, self.read)
        return np.asarray(self.model.scores(states, self.table).float().cpu().numpy())

    def states(self, users: np.ndarray, ends: np.ndarray) -> Tensor:
        """r_0 … r_K of users: (K + 1, B, d)."""
        found: list[tuple[np.ndarray, Tensor]] = []
        for rows in _alike(np.minimum(ends, self.model.options.length)):
            histories, last = known_histories(self.split, users[rows], ends[rows], self.model.options.length)
            states = self.model.states(
                self.table, histories.to(self.device), last.to(self.device), steps=self.steps
            )
            found.append((rows, states[:, :, 0]))
        whole = torch.empty(found[0][1].shape[0], len(users), found[0][1].shape[2], device=self.device)
        for rows, states in found:
            whole[:, torch.from_numpy(rows).to(self.device)] = states.float()
        return whole


def _alike(sizes: np.ndarray) -> Iterator[np.ndarray]:
    """Rows in groups whose lengths differ by at most half, so that little is padded."""
    order = np.argsort(sizes, kind="stable")
    begin = 0
    while begin < len(order):
        limit = max(8, int(sizes[order[begin]] * 1.5))
        end = int(np.searchsorted(sizes[order], limit, "right"))
        yield order[begin:end]
        begin = end


def halted(model: SequentialModel, states: Tensor, table: Tensor, nats: float, read: Read = "last") -> Tensor:
    """The state of each row at the first step that hardly changes its prediction: (K + 1, B, d) → (B, d).

    That is, KL(y_k ‖ y_{k−1}) is at most so many nats; the last state where no step is like that. Of a model that
    is read at the mean, the mean of the states up to there.
    """
    logs = model.scores(states, table).log_softmax(-1)
    moved = (logs[1:].exp() * (logs[1:] - logs[:-1])).sum(-1)
    last = torch.full((states.shape[1],), len(states) - 1, device=states.device)
    for step in range(len(moved) - 1, -1, -1):
        last = torch.where(moved[step] <= nats, step + 1, last)
    if read == "mean":
        states = states.cumsum(0) / torch.arange(1, len(states) + 1, device=states.device)[:, None, None]
    return states.gather(0, last[None, :, None].expand(1, -1, states.shape[2]))[0]

"""Batches of windows and their loss, whatever the vectors come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from retrievers.goals.data import Pairs, pairs
from retrievers.goals.model import CurvedHeads
from retrievers.goals.model.losses import Margins, softmax_margin, squared_error
from retrievers.goals.tuning.options import GoalsTrainer

Vectors = Callable[[np.ndarray], Tensor]
"""Numbers of utterances, whatever their shape, to their vectors."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows, (W, 5) numbers of utterances; for `mse` the labelled pairs drawn of them as well."""

    windows: np.ndarray
    pairs: Pairs | None

    @classmethod
    def drawn(
        cls, options: GoalsTrainer, cut: np.ndarray, said: np.ndarray, rng: np.random.Generator
    ) -> Batch:
        """`said`: numbers of all utterances as often as they were said, which random ones are drawn from."""
        return cls(cut, pairs(cut, said, rng) if options.loss == "mse" else None)

    @property
    def rows(self) -> np.ndarray:
        """The utterances that it needs, each once, rising."""
        needed = (self.windows,) if self.pairs is None else (self.pairs.before, self.pairs.after)
        return np.unique(np.concatenate([part.ravel() for part in needed]))

    def loss(self, options: GoalsTrainer, heads: CurvedHeads, of: Vectors) -> Tensor:
        """A scalar."""
        device = heads.later.device
        if self.pairs is not None:
            labels = torch.from_numpy(self.pairs.labels.astype(np.float32)).to(device)
            even = torch.from_numpy(self.pairs.even).to(device)
            return squared_error(heads, of(self.pairs.before), of(self.pairs.after), even, labels)
        said = torch.from_numpy(self.windows).to(device)
        how = Margins(options.temperature, options.margin, options.direction)
        return softmax_margin(heads, of(self.windows), said, how)

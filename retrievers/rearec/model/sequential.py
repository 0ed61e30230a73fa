"""A sequential recommender: items, a backbone, and K latent reasoning steps behind the last item."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from retrievers.rearec.model.attention import Transformer
from retrievers.rearec.model.dropout import Dropout
from retrievers.rearec.model.items import Items
from retrievers.rearec.model.options import ModelOptions
from retrievers.rearec.model.recurrent import Recurrent, StateSpaces, at


class SequentialModel(nn.Module):
    """User states from histories; an item's score is its similarity to one (ReaRec: Tang et al. 2025, section 3).

    Histories stand at the left of a row, padded behind with any item; `ends` says where branches end in them.
    """

    def __init__(self, options: ModelOptions, count: int, vectors: Tensor | None = None) -> None:
        super().__init__()
        self.options = options
        self.items = Items(options, count, vectors)
        self.places = nn.Embedding(options.length, options.width)
        nn.init.normal_(self.places.weight, std=0.02)
        self.steps = nn.Parameter(torch.randn(options.steps, options.width) * 0.02)
        self.norm, self.dropout = nn.LayerNorm(options.width), Dropout(options.dropout)
        kinds = {"s4d": StateSpaces, "gru": Recurrent}
        self.backbone: Any = kinds.get(options.backbone, Transformer)(options)

    def states(
        self, table: Tensor, histories: Tensor, ends: Tensor, *, steps: int | None = None, noise: float = 0.0
    ) -> Tensor:
        """States r_0 … r_K of every branch: (K + 1, B, M, d).

        `histories`: (B, L) item numbers. `ends`: (B, M) place of each branch's last item; with attention both ways
        every branch sees the items up to the last end of its row, so that there M is 1. `noise`: standard deviation
        of what is added to the input of every step.
        """
        count = self.options.steps if steps is None else steps
        if self.backbone.both_ways and ends.shape[1] != 1:
            raise ValueError(
                "attention both ways would show a branch the items behind its end: one branch a row"
            )
        lengths = ends.amax(1) + 1
        read, memory = self.backbone.read(self._inputs(table, histories), lengths, ends, count > 0)
        found = [at(read, ends)]
        for step in range(count):
            x = self.steps[step] + (found[-1] if self.options.feedback == "state" else 0)
            x = x.expand_as(found[0]) + (noise * torch.randn_like(found[0]) if noise else 0)
            x, memory = self.backbone.step(self.dropout(self.norm(x)), memory)
            found.append(x)
        return torch.stack(found)

    def scores(self, states: Tensor, table: Tensor) -> Tensor:
        """Scores of items: (…, d), (n, d) → (…, n), or (P, d), (P, c, d) → (P, c)."""
        if self.options.similarity == "cosine":
            states, table = normalize(states, dim=-1), normalize(table, dim=-1)
        found = states @ table.T if table.ndim == 2 else (table @ states.unsqueeze(-1)).squeeze(-1)
        return torch.div(found, self.options.temperature)

    def _inputs(self, table: Tensor, histories: Tensor) -> Tensor:
        places = self.places.weight[: histories.shape[1]]
        inputs: Tensor = self.dropout(self.norm(table[histories] + places))
        return inputs

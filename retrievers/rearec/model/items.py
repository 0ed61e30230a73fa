"""What an item is to the model: an embedding, its text through an adaptor, or both."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from retrievers.rearec.model.dropout import Dropout
from retrievers.rearec.model.options import ModelOptions


class Adaptor(nn.Module):
    """Text vectors (…, t) to items (…, d): mixed whitening layers (UniSRec: Hou et al. 2022, equations 2 to 4)."""

    def __init__(self, size: int, width: int, experts: int, dropout: float) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(experts, size))
        self.turn = nn.Parameter(torch.randn(experts, size, width) * size**-0.5)
        self.gate = nn.Linear(size, experts)
        self.dropout = Dropout(dropout)

    def forward(self, vectors: Tensor) -> Tensor:
        shares = self.gate(vectors).softmax(-1)
        turned = torch.einsum("...t,etd->...ed", self.dropout(vectors), self.turn)
        turned = turned - torch.einsum("et,etd->ed", self.centre, self.turn)
        return torch.einsum("...e,...ed->...d", shares, turned)


class Items(nn.Module):
    """The table of items. `vectors`: (n, t) of the items' texts, frozen and not part of the weights."""

    vectors: Tensor | None

    def __init__(self, options: ModelOptions, count: int, vectors: Tensor | None) -> None:
        super().__init__()
        if (options.items != "id") != (vectors is not None):
            raise ValueError(
                f"items {options.items!r} " + ("need" if vectors is None else "take no") + " vectors"
            )
        self.own: nn.Embedding | None = None
        self.adaptor: Adaptor | None = None
        if options.items != "text":
            self.own = nn.Embedding(count, options.width)
            nn.init.normal_(self.own.weight, std=options.width**-0.5)
        if vectors is not None:
            self.adaptor = Adaptor(vectors.shape[1], options.width, options.experts, options.dropout)
        self.register_buffer("vectors", vectors, persistent=False)

    def table(self) -> Tensor:
        """All items: (n, d)."""
        parts = [self.own.weight] if self.own is not None else []
        if self.adaptor is not None:
            assert self.vectors is not None
            parts.append(self.adaptor(self.vectors))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    def with_texts(self, table: Tensor, rows: Tensor, vectors: Tensor) -> Tensor:
        """The table with other texts for some items; as it was where items have no text."""
        return table if self.adaptor is None else table.index_copy(0, rows, self.of(rows, vectors))

    def of(self, rows: Tensor, vectors: Tensor) -> Tensor:
        """Items with these texts: (k,), (k, t) → (k, d). ValueError where items have no text."""
        if self.adaptor is None:
            raise ValueError("items have no text")
        found: Tensor = self.adaptor(vectors.to(rows.device))
        return found if self.own is None else found + self.own.weight[rows]

"""Three residual heads on frozen vectors: before at odd distance, before at even distance, after."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


class CurvedHeads(nn.Module):
    """Unit vectors of an utterance before and after, from its unit vector x: normalised x + xW, with W 0 at first.

    The cosine of `before(x, even)` and `after(y)` says how near y follows x; `even`: the parity of the distance. With
    W = 0 it is the cosine of x and y, whatever the order.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.odd, self.even, self.later = (nn.Parameter(torch.zeros(width, width)) for _ in range(3))

    def before(self, vectors: Tensor, even: bool) -> Tensor:
        """B_E or B_O: (…, width) → (…, width)."""
        return _curved(vectors, self.even if even else self.odd)

    def after(self, vectors: Tensor) -> Tensor:
        """A: (…, width) → (…, width)."""
        return _curved(vectors, self.later)


def _curved(vectors: Tensor, weight: Tensor) -> Tensor:
    return normalize(vectors + vectors @ weight, dim=-1)

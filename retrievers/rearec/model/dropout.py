"""Dropout that draws a byte an element; on a CPU, torch's own takes a third of a small model's training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

LEVELS = 256
"""Rates are rounded to one in so many on a CPU; what is kept is scaled by the rate as rounded, so means stay exact."""


class Dropout(nn.Module):
    """`torch.nn.Dropout`, faster on a CPU; drawn from torch's generator too."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        if not self.training or not self.rate:
            return x
        if x.device.type != "cpu":
            return dropout(x, self.rate)
        kept = min(max(round((1 - self.rate) * LEVELS), 1), LEVELS)
        count = x.numel()
        drawn = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        mask = drawn.view(torch.uint8)[:count].view(x.shape).to(torch.int16) < kept
        return x * (mask * (LEVELS / kept))

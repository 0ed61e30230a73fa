"""Backbones with a state: gated recurrent units, and diagonal state spaces as convolution and as recurrence."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, glu

from retrievers.rearec.model.dropout import Dropout
from retrievers.rearec.model.options import ModelOptions


class Recurrent(nn.Module):
    """Gated recurrent units (GRU4Rec: Hidasi et al. 2016, arXiv 1511.06939)."""

    both_ways = False

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        width = options.width
        self.layers = nn.ModuleList(nn.GRU(width, width, batch_first=True) for _ in range(options.layers))
        self.last, self.dropout = nn.LayerNorm(width), Dropout(options.dropout)

    def read(self, x: Tensor, lengths: Tensor, ends: Tensor, keep: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """States of all items (B, L, d); to `keep`: the layers' states at `ends`, (B, M, d)."""
        kept = []
        for layer in self.layers:
            x, _ = layer(self.dropout(x))
            if keep:
                kept.append(at(x, ends))
        return self.last(x), tuple(kept)

    def step(self, x: Tensor, memory: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One more token behind every branch: (B, M, d) → (B, M, d)."""
        kept, shape = [], x.shape
        for layer, state in zip(self.layers, memory, strict=True):
            x, _ = layer(
                self.dropout(x).reshape(-1, 1, shape[2]), state.reshape(1, -1, shape[2]).contiguous()
            )
            x = x.reshape(shape)
            kept.append(x)
        return self.last(x), tuple(kept)


class Diagonal(nn.Module):
    """A diagonal state space a channel: S4D-Lin (Gu et al. 2022, arXiv 2206.11893).

    h' = A h + B x, y = 2 Re(C h) + D x.

    A_n = −½ + iπn, B = 1, zero-order hold with a step size Δ a channel, log-uniform over .001 to .1 at first.
    """

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        low, high = math.log(1e-3), math.log(1e-1)
        self.log_step = nn.Parameter(torch.rand(width) * (high - low) + low)
        self.log_decay = nn.Parameter(torch.full((width, size), math.log(0.5)))
        self.turn = nn.Parameter(math.pi * torch.arange(size).repeat(width, 1))
        self.out = nn.Parameter(torch.randn(width, size, 2) * 0.5**0.5)
        self.skip = nn.Parameter(torch.randn(width))

    def discrete(self) -> tuple[Tensor, Tensor]:
        """Factor of the state Ā = exp(ΔA), and weight C · B̄ of an input in the output: (d, N) complex both."""
        pole = torch.complex(-self.log_decay.exp(), self.turn)
        exponent = self.log_step.exp()[:, None] * pole
        return exponent.exp(), torch.view_as_complex(self.out) * (exponent.exp() - 1) / pole

    def forward(self, x: Tensor) -> Tensor:
        """Convolution by FFT: (B, L, d) → (B, L, d)."""
        length = x.shape[1]
        factor, weight = self.discrete()
        powers = factor[..., None] ** torch.arange(length, device=x.device)
        kernel = 2 * torch.einsum("dn,dnl->dl", weight, powers).real
        spectrum = torch.fft.rfft(x.transpose(1, 2), 2 * length) * torch.fft.rfft(kernel, 2 * length)
        convolved: Tensor = torch.fft.irfft(spectrum, 2 * length)[..., :length].transpose(1, 2)
        return convolved + self.skip * x

    def state(self, x: Tensor, ends: Tensor) -> Tensor:
        """States behind the items at `ends` (B, M): (B, M, d, N) complex, by recurrence."""
        factor, _ = self.discrete()
        state = torch.zeros(*x.shape[::2], factor.shape[1], dtype=factor.dtype, device=x.device)
        states = []
        for place in range(x.shape[1]):
            state = state * factor + x[:, place, :, None]
            states.append(state)
        return torch.stack(states, 1).gather(1, ends[..., None, None].expand(-1, -1, *state.shape[1:]))

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One input: (…, d), (…, d, N) → output (…, d) and the state behind it."""
        factor, weight = self.discrete()
        state = state * factor + x[..., None]
        return 2 * (weight * state).sum(-1).real + self.skip * x, state


class StateSpaces(nn.Module):
    """Layers of diagonal state spaces with GELU, a gated mixing of channels, and residuals."""

    both_ways = False

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        width, count = options.width, options.layers
        self.spaces: Any = nn.ModuleList(Diagonal(width, options.state_size) for _ in range(count))
        self.mixers = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(count))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(count))
        self.last, self.dropout = nn.LayerNorm(width), Dropout(options.dropout)

    def read(self, x: Tensor, lengths: Tensor, ends: Tensor, keep: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """States of all items (B, L, d); to `keep`: the layers' states at `ends`, (B, M, d, N)."""
        kept = []
        for space, mixer, norm in zip(self.spaces, self.mixers, self.norms, strict=True):
            inner = norm(x)
            if keep:
                kept.append(space.state(inner, ends))
            x = x + self.dropout(glu(mixer(gelu(space(inner)))))
        return self.last(x), tuple(kept)

    def step(self, x: Tensor, memory: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One more token behind every branch: (B, M, d) → (B, M, d)."""
        kept = []
        for space, mixer, norm, state in zip(self.spaces, self.mixers, self.norms, memory, strict=True):
            found, state = space.step(norm(x), state)
            kept.append(state)
            x = x + self.dropout(glu(mixer(gelu(found))))
        return self.last(x), tuple(kept)


def at(states: Tensor, ends: Tensor) -> Tensor:
    """States of some places of every row: (B, L, d), (B, M) → (B, M, d)."""
    return states.gather(1, ends[..., None].expand(-1, -1, states.shape[2]))

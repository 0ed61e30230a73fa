"""Low-rank adapters that train at the speed of the frozen model (LoRA, Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from testbed.errors import ModelError, listed

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class LowRank(nn.Module):
    """A frozen linear layer plus scale · B A, with the sum kept merged for the forward pass.

    The forward pass costs what the frozen layer costs: `refresh` writes W + scale · B A once an update, in the
    model's dtype, which is also how the adapter is used later. A (r, in) and B (out, r) are float32.
    """

    def __init__(self, base: nn.Linear, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.frozen, self.bias, self.scale = base.weight.data, base.bias, scale
        self.merged = self.frozen.clone()
        bound = math.sqrt(3.0 / base.in_features)
        first = (torch.rand(rank, base.in_features, generator=generator) * 2 - 1) * bound
        self.a = nn.Parameter(first.to(base.weight.device))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank, device=base.weight.device))

    @torch.no_grad()
    def refresh(self) -> None:
        """Bring the merged weight up to date; after every update of A and B."""
        self.merged.copy_(torch.addmm(self.frozen.float(), self.b, self.a, alpha=self.scale))

    def forward(self, inputs: Tensor) -> Tensor:
        """(…, in) → (…, out)."""
        found: Tensor = _Merged.apply(inputs, self.merged, self.a, self.b, self.scale)  # type: ignore[no-untyped-call]
        return found if self.bias is None else found + self.bias


class _Merged(torch.autograd.Function):
    """x Wᵀ with gradients for x, A and B, and none for W."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, merged: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(inputs, merged, a, b)
        ctx.scale = scale
        return linear(inputs, merged)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, None, Tensor, Tensor, None]:
        inputs, merged, a, b = ctx.saved_tensors
        slope, flat = slopes[0].flatten(0, -2), inputs.flatten(0, -2)
        through = slope @ b.to(slope.dtype)
        for_a = (through.T @ flat).float() * ctx.scale
        for_b = (slope.T @ (flat @ a.to(flat.dtype).T)).float() * ctx.scale
        for_inputs = (slope @ merged).view_as(inputs) if ctx.needs_input_grad[0] else None
        return for_inputs, None, for_a, for_b, None


def attach(model: nn.Module, *, rank: int, alpha: float, first_layer: int, seed: int) -> dict[str, LowRank]:
    """Put an adapter on every projection from layer `first_layer` on; returns them by module name.

    Everything else is frozen. ModelError where the model has no such projections.
    """
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in PROJECTIONS:
            if layer_of(name) < first_layer:
                continue
            parent = model.get_submodule(name.rpartition(".")[0])
            made[name] = LowRank(module, rank, alpha / rank, generator)
            setattr(parent, name.rpartition(".")[2], made[name])
    if not made:
        raise ModelError(f"no layer from {first_layer} on has a projection called {listed(PROJECTIONS)}")
    return made


def layer_of(name: str) -> int:
    """The layer's number in a module's name."""
    return next((int(part) for part in name.split(".") if part.isdigit()), -1)


def parameters(adapters: Sequence[LowRank] | dict[str, LowRank]) -> Iterator[nn.Parameter]:
    """A and B of every adapter, in order."""
    for adapter in adapters.values() if isinstance(adapters, dict) else adapters:
        yield adapter.a
        yield adapter.b

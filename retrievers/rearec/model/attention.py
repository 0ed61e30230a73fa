"""Attention over histories, both as one pass and as cached steps behind any of their positions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from retrievers.rearec.model.dropout import Dropout
from retrievers.rearec.model.options import ModelOptions


@dataclass(frozen=True, slots=True)
class Seen:
    """What one layer keeps. `keys`, `values`: (B, H, L, c) of items. `own_*`: (B, H, M, k, c) of the steps so far."""

    keys: Tensor
    values: Tensor
    own_keys: Tensor | None = None
    own_values: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What all layers keep. `hidden`: (B, M, L) true where a branch does not see an item."""

    layers: tuple[Seen, ...]
    hidden: Tensor


class Layer(nn.Module):
    """Attention and a feed-forward layer, normalised before or after (Kang & McAuley 2018, arXiv 1808.09781).

    Attention weights are not dropped out: that keeps the fused kernel, which halves the time of long histories.
    """

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        width, self.heads, self.pre = options.width, options.heads, options.norm == "pre"
        self.project, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, options.inner), nn.Linear(options.inner, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = Dropout(options.dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Seen]:
        """(B, L, d) → (B, L, d). `mask`: (B, 1, 1, L) true where items are seen from everywhere; causal without one."""
        query, key, value = self._heads(x)
        found = _attended(query, key, value, mask)
        return self._rest(x, found.transpose(1, 2).flatten(2)), Seen(key, value)

    def step(self, x: Tensor, seen: Seen, hidden: Tensor) -> tuple[Tensor, Seen]:
        """One token behind every branch: (B, M, d) → (B, M, d). Attends to its items and its own earlier steps."""
        query, key, value = self._heads(x)
        own_keys, own_values = key.unsqueeze(3), value.unsqueeze(3)
        if seen.own_keys is not None and seen.own_values is not None:
            own_keys = torch.cat([seen.own_keys, own_keys], 3)
            own_values = torch.cat([seen.own_values, own_values], 3)
        query = query * query.shape[-1] ** -0.5
        items = _products(query, seen.keys.transpose(2, 3)).masked_fill(hidden.unsqueeze(1), -torch.inf)
        own = (own_keys @ query.unsqueeze(-1)).squeeze(-1)
        shares: Tensor = torch.cat([items, own], 3).softmax(3)
        left, right = torch.split(shares, [items.shape[3], own.shape[3]], 3)
        found = _products(left, seen.values) + (right.unsqueeze(3) @ own_values).squeeze(3)
        merged = found.transpose(1, 2).flatten(2)
        return self._rest(x, merged), replace(seen, own_keys=own_keys, own_values=own_values)

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.project(self.first(x) if self.pre else x).chunk(3, 2)
        )
        return query, key, value

    def _rest(self, x: Tensor, found: Tensor) -> Any:
        x = x + self.dropout(self.merge(found))
        x = x if self.pre else self.first(x)
        inner = self.dropout(self.down(gelu(self.up(self.second(x) if self.pre else x))))
        return x + inner if self.pre else self.second(x + inner)


def _products(left: Tensor, right: Tensor) -> Tensor:
    """Matrix products (B, H, m, c), (B, H, c, l) → (B, H, m, l), head by head: in one go what layers keep is copied."""
    heads = zip(left.unbind(1), right.unbind(1), strict=True)
    return torch.stack([torch.bmm(one, other) for one, other in heads], 1)


def _attended(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """On a CPU in float32 whatever the precision: the fused kernel is slower there in fewer bits."""
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:
        query, key, value = query.float(), key.float(), value.float()
    with torch.autocast("cpu", enabled=False):
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)


class Transformer(nn.Module):
    """Attention layers: causal (SASRec) or, between items, both ways (BERT4Rec: Sun et al. 2019, arXiv 1904.06690)."""

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        self.both_ways = options.backbone == "bert4rec"
        self.layers: Any = nn.ModuleList(Layer(options) for _ in range(options.layers))
        self.last: nn.Module = nn.LayerNorm(options.width) if options.norm == "pre" else nn.Identity()

    def read(self, x: Tensor, lengths: Tensor, ends: Tensor, keep: bool) -> tuple[Tensor, Memory]:
        """States of all items (B, L, d); to `keep`: what steps need behind `ends` (B, M), the last items seen."""
        places = torch.arange(x.shape[1], device=x.device)
        mask = (places < lengths[:, None])[:, None, None] if self.both_ways else None
        kept = []
        for layer in self.layers:
            x, seen = layer(x, mask)
            if keep:
                kept.append(seen)
        hidden = places > ends[..., None] if keep else places[:0]
        return self.last(x), Memory(tuple(kept), hidden)

    def step(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """One more token behind every branch: (B, M, d) → (B, M, d)."""
        kept = []
        for layer, seen in zip(self.layers, memory.layers, strict=True):
            x, seen = layer.step(x, seen, memory.hidden)
            kept.append(seen)
        return self.last(x), replace(memory, layers=tuple(kept))

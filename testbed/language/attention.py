"""Attention over one shared prefix: many continuations attend to a single copy of a prompt's keys and values.

The part over the prefix and the part over the row's own tokens are computed apart and merged by their
log-sum-exp (Juravsky et al. 2024, "Hydragen", arXiv 2402.05099; Ye et al. 2024, cascade inference).
Grouped-query heads are folded into the query axis, so keys and values are never expanded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from testbed.errors import ModelError, listed

NAME = "testbed_shared_prefix"
UNSUPPORTED = ("softcap", "s_aux")
"""Arguments that change what attention computes: capped logits (Gemma 2), attention sinks (gpt-oss)."""


@dataclass(slots=True)
class Pass:
    """One forward pass over rows that continue a shared prefix.

    `layers`: per layer keys and values of the prefix, each (1, kv_heads, P, d). `mask`: (B, T, T) bool over
    the rows' own tokens, True where attended. `far`: (T, P) bool where not every token sees the whole
    prefix. `merge`: use the log-sum-exp merge; otherwise the prefix is concatenated to every row, which
    is slower, works everywhere and has gradients. `captured` collects the rows' own keys and values
    when it is a list.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    mask: Tensor
    merge: bool
    far: Tensor | None = None
    captured: list[tuple[Tensor, Tensor]] | None = None
    _made: dict[str, Tensor] = field(default_factory=dict, init=False)
    """Masks in the shapes that kernels want, made once for all layers."""

    def whole_mask(self) -> Tensor:
        """(B, 1, T, P + T) bool: the rows' own mask behind the prefix's."""
        if "whole" not in self._made:
            batch, rows, _ = self.mask.shape
            prefix = self.layers[0][0].shape[2] if self.layers else 0
            far = self.mask.new_ones(rows, prefix) if self.far is None else self.far
            self._made["whole"] = torch.cat([far.expand(batch, rows, prefix), self.mask], 2)[:, None]
        return self._made["whole"]

    def near_bias(self, fold: int, dtype: torch.dtype) -> Tensor:
        """(B, 1, fold · T, T): the rows' own mask as a bias, once per folded head."""
        if "near" not in self._made:
            self._made["near"] = _bias(self.mask, dtype)[:, None].repeat(1, 1, fold, 1)
        return self._made["near"]

    def far_bias(self, fold: int, dtype: torch.dtype) -> Tensor | None:
        """(1, 1, B · fold · T, P): what each row sees of the prefix; None when that is all of it."""
        if self.far is None:
            return None
        if "far" not in self._made:
            self._made["far"] = _bias(self.far, dtype).repeat(self.mask.shape[0] * fold, 1)[None, None]
        return self._made["far"]


def _bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(
        ~mask, torch.finfo(dtype).min
    )


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    shared: Pass | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention for `AttentionInterface`: query (B, H, T, d), key and value (B, kv_heads, T, d) → (B, T, H, d)."""
    if shared is None:
        result: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return result
    unknown = [name for name in UNSUPPORTED if kwargs.get(name) is not None]
    if unknown:
        raise ModelError(f"this model's attention has {listed(unknown)}, which shared prefixes cannot do yet")
    if shared.captured is not None:
        shared.captured.append((key, value))
    if not shared.layers:
        out = _grouped(query, key, value, shared.mask[:, None], scaling)
    elif shared.merge:
        out = _merged(query, key, value, shared, module.layer_idx, scaling)  # type: ignore[arg-type]
    else:
        keys, values = shared.layers[module.layer_idx]  # type: ignore[index]
        rows = key.shape[0]
        out = _grouped(
            query,
            torch.cat([keys.expand(rows, -1, -1, -1), key], 2),
            torch.cat([values.expand(rows, -1, -1, -1), value], 2),
            shared.whole_mask(),
            scaling,
        )
    return out.transpose(1, 2), None


def _grouped(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float | None) -> Tensor:
    """Attention with grouped heads folded into the query axis: the fused kernels take no groups beside a mask."""
    batch, heads, rows, width = query.shape
    groups = key.shape[1]
    folded = query.reshape(batch, groups, heads // groups * rows, width)
    seen = mask.repeat(1, 1, heads // groups, 1)
    out = scaled_dot_product_attention(folded, key, value, attn_mask=seen, scale=scaling)
    return out.reshape(batch, heads, rows, width)


def can_merge(device: torch.device) -> bool:
    """Whether this device has the attention kernel that returns its log-sum-exp."""
    return device.type == "cpu"


def _flash(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None
) -> tuple[Tensor, Tensor]:
    """Attention and its log-sum-exp: (B, H, T, d), (B, H, T)."""
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, False, attn_mask=mask, scale=scaling
    )
    return out, lse


def _merged(
    query: Tensor, key: Tensor, value: Tensor, shared: Pass, layer: int, scaling: float | None
) -> Tensor:
    batch, heads, rows, width = query.shape
    groups = key.shape[1]
    fold = heads // groups
    prefix_keys, prefix_values = shared.layers[layer]

    everyone = (
        query.view(batch, groups, fold, rows, width).permute(1, 0, 2, 3, 4).reshape(1, groups, -1, width)
    )
    far, far_lse = _flash(everyone, prefix_keys, prefix_values, shared.far_bias(fold, query.dtype), scaling)
    far = far.view(groups, batch, fold * rows, width).transpose(0, 1)
    far_lse = far_lse.view(groups, batch, fold * rows).transpose(0, 1)

    near, near_lse = _flash(
        query.reshape(batch, groups, fold * rows, width),
        key,
        value,
        shared.near_bias(fold, query.dtype),
        scaling,
    )

    weight = torch.sigmoid(near_lse.float() - far_lse.float()).unsqueeze(-1)
    out = torch.lerp(far.float(), near.float(), weight).to(query.dtype)
    return out.reshape(batch, heads, rows, width)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)

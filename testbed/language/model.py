"""A causal language model as the testbed uses it: prefixes, scores of continuations, token gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from testbed.errors import ModelError
from testbed.language.attention import NAME, Pass, can_merge
from testbed.language.layout import Layout, Row, Tokens, common_prefix, pack

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Prefix:
    """Keys and values of a run of tokens, per layer (1, kv_heads, P, d); shared by everything that continues it."""

    token_ids: tuple[int, ...] = ()
    layers: tuple[tuple[Tensor, Tensor], ...] = ()

    def __len__(self) -> int:
        return len(self.token_ids)

    def truncated(self, length: int) -> Prefix:
        """The first `length` tokens; views, nothing is copied."""
        if length >= len(self):
            return self
        if length == 0:
            return Prefix()
        layers = tuple((keys[:, :, :length], values[:, :, :length]) for keys, values in self.layers)
        return Prefix(self.token_ids[:length], layers)


class LanguageModel:
    """A causal language model with its tokenizer. Weights are frozen; methods have no side effects."""

    def __init__(
        self,
        *,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        fingerprint: str,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        token_budget: int = 4096,
        merge: bool = True,
    ) -> None:
        self.name, self.fingerprint = name, fingerprint
        self.device = torch.device(device)
        self.dtype = dtype or model.dtype
        self.tokenizer = tokenizer
        self.model = model.to(device=self.device, dtype=self.dtype).eval().requires_grad_(False)
        self.model.set_attn_implementation(NAME)
        self.token_budget = token_budget
        self.merge = merge and can_merge(self.device)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(weight.numel() for weight in self.model.parameters())

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """Text of every token of the vocabulary; '' for special and unused ones."""
        special = set(self.tokenizer.all_special_ids)
        texts = self.tokenizer.batch_decode([[token] for token in range(len(self.tokenizer))])
        pieces = ["" if token in special else text for token, text in enumerate(texts)]
        pieces += [""] * (self.embeddings.shape[0] - len(pieces))
        return tuple(pieces)

    @cached_property
    def window(self) -> int | None:
        """Tokens that the shortest-sighted layer looks back; None when all layers see everything."""
        config = self.model.config
        layers = getattr(config, "layer_types", None)
        if getattr(config, "use_sliding_window", True) is False:
            return None
        if layers is not None and "sliding_attention" not in layers:
            return None
        return getattr(config, "sliding_window", None)

    @property
    def embeddings(self) -> Tensor:
        """Input embeddings, (V, d)."""
        weight: Tensor = self.model.get_input_embeddings().weight
        return weight

    def encode(self, text: str) -> list[int]:
        """Token ids of a text as it stands, without added special tokens."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of several texts, tokenised in parallel where the tokenizer can."""
        if not texts:
            return []
        ids: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return ids

    def continuations(self, opening: str, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Tokens of each text where it follows `opening` (which may merge with nothing that comes after it)."""
        stem = self.encode(opening) if opening else []
        whole = self.encode_many([opening + text for text in texts])
        alone = self.encode_many(list(texts))
        return [
            tuple(ids[len(stem) :]) if ids[: len(stem)] == stem and len(ids) > len(stem) else tuple(own)
            for ids, own in zip(whole, alone, strict=True)
        ]

    def decode(self, token_ids: Tokens) -> str:
        """Text of token ids, special tokens left in."""
        text: str = self.tokenizer.decode(list(token_ids), clean_up_tokenization_spaces=False)
        return text

    def prefix(self, token_ids: Tokens, base: Prefix | None = None) -> Prefix:
        """Keys and values of `token_ids`; what `base` already covers is not computed again."""
        base = base or Prefix()
        shared = common_prefix(base.token_ids, token_ids)
        base = base.truncated(shared)
        rest = list(token_ids[len(base) :])
        if not rest:
            return base
        captured: list[tuple[Tensor, Tensor]] = []
        mask = torch.ones(1, len(rest), len(rest), dtype=torch.bool, device=self.device).tril()
        with torch.inference_mode():
            self._hidden(base, torch.tensor([rest], device=self.device), None, mask, captured)
        layers = tuple(
            (torch.cat([base.layers[i][0], keys], 2), torch.cat([base.layers[i][1], values], 2))
            if base.layers
            else (keys, values)
            for i, (keys, values) in enumerate(captured)
        )
        return Prefix(tuple(token_ids), layers)

    def log_probs(self, prefix: Prefix, rows: Sequence[Row]) -> list[list[Tensor]]:
        """Log-probabilities of every branch token: per row, per branch, a float32 tensor (len(branch),) on the CPU."""
        results: list[list[Tensor]] = []
        with torch.inference_mode():
            for batch in pack(rows, self.token_budget):
                layout = Layout.of(batch, self.device)
                hidden = self._hidden(prefix, layout.tokens, layout.positions, layout.mask)
                results += layout.split(self._token_log_probs(hidden, layout).cpu())
        return results

    def frozen_log_probs(self, whole: Prefix, span: slice, rows: Sequence[Row]) -> list[list[Tensor]]:
        """Like `log_probs`, approximately and cheaply: what follows `span` keeps the keys and values it has in `whole`.

        `whole` is the prefix of a prompt whose tokens in `span` are replaced. A row's trunk is the
        replacement (as long as the span) and the last tokens of the prompt, which are recomputed, at least
        one beyond `whole`. Only the replacement, those tokens and the branches go through the model.
        """
        length = span.stop - span.start
        again = len(rows[0].trunk) - length - 1
        stop = len(whole) - again
        far = torch.ones(max(row.width for row in rows), span.start + stop - span.stop, dtype=torch.bool)
        far[:length, span.start :] = False
        layers = tuple(
            (
                torch.cat([keys[:, :, : span.start], keys[:, :, span.stop : stop]], 2),
                torch.cat([values[:, :, : span.start], values[:, :, span.stop : stop]], 2),
            )
            for keys, values in whole.layers
        )
        prefix = Prefix(whole.token_ids[: span.start], layers)
        results: list[list[Tensor]] = []
        with torch.inference_mode():
            for batch in pack(rows, self.token_budget):
                layout = Layout.of(batch, self.device, jump=(length, stop - span.stop))
                seen = far[: layout.tokens.shape[1]].to(self.device)
                hidden = self._hidden(prefix, layout.tokens, layout.positions, layout.mask, far=seen)
                results += layout.split(self._token_log_probs(hidden, layout).cpu())
        return results

    def score(self, prefix: Prefix, rows: Sequence[Row]) -> Tensor:
        """Summed log-probability of every branch, (rows, branches) float32; rows must have equally many branches."""
        return torch.stack(
            [torch.stack([part.sum() for part in row]) for row in self.log_probs(prefix, rows)]
        )

    def gradient(
        self, prefix: Prefix, row: Row, span: slice, loss: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, float]:
        """Gradient of `loss(branch log-probabilities (1, branches))` with respect to one-hot trunk tokens in `span`.

        Returns (span length, V) float32 and the loss.
        """
        layout = Layout.of([row], self.device)
        with torch.enable_grad():
            embedded = self.model.get_input_embeddings()(layout.tokens).detach()
            free = embedded[:, span].clone().requires_grad_(True)
            inputs = torch.cat([embedded[:, : span.start], free, embedded[:, span.stop :]], 1)
            hidden = self._hidden(prefix, None, layout.positions, layout.mask, embedded=inputs, merge=False)
            parts = layout.split(self._token_log_probs(hidden, layout))
            value = loss(torch.stack([part.sum() for part in parts[0]])[None]).sum()
            (slope,) = torch.autograd.grad(value, free)
        with torch.inference_mode():
            scale = float(getattr(self.model.get_input_embeddings(), "embed_scale", 1.0))  # Gemma
            return (slope[0] @ self.embeddings.T).float() * scale, float(value.detach())

    def generate(
        self, token_ids: Tokens, *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[int]:
        """New tokens after a prompt, up to the end-of-text token; greedy at temperature 0."""
        from testbed.language.decoding import decode

        return decode(self, token_ids, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)

    def _hidden(
        self,
        prefix: Prefix,
        tokens: Tensor | None,
        positions: Tensor | None,
        mask: Tensor,
        captured: list[tuple[Tensor, Tensor]] | None = None,
        *,
        embedded: Tensor | None = None,
        merge: bool | None = None,
        far: Tensor | None = None,
    ) -> Tensor:
        """Last hidden states (B, T, d) of rows that continue `prefix`; `positions` count from the prefix's end."""
        start = len(prefix)
        if positions is None:
            positions = torch.arange(mask.shape[1], device=self.device)[None]
        if self.window is not None and start + int(positions.max()) >= self.window:
            raise ModelError(
                f"model {self.name}: a prompt of {start + int(positions.max()) + 1} tokens is longer than the "
                f"model's attention window of {self.window}; show fewer listings (k) or less of them (field_limit)"
            )
        shared = Pass(prefix.layers, mask, self.merge if merge is None else merge, far, captured)
        arguments: dict[str, Any] = {"input_ids": tokens} if embedded is None else {"inputs_embeds": embedded}
        output = self.model.base_model(
            **arguments,
            attention_mask=mask[:, None],
            position_ids=positions + start,
            use_cache=False,
            shared=shared,
        )
        hidden: Tensor = output.last_hidden_state
        return hidden

    def _token_log_probs(self, hidden: Tensor, layout: Layout) -> Tensor:
        """Log-probability of each answer token, in the layout's order: (answers,) float32."""
        picked = hidden[layout.answer_rows, layout.answer_columns]
        parts = []
        for states, wanted in zip(torch.split(picked, 1024), torch.split(layout.answers, 1024), strict=True):
            logits = self.model.get_output_embeddings()(states).float()
            softcap = getattr(self.model.config, "final_logit_softcapping", None)
            if softcap:
                logits = torch.tanh(logits / softcap) * softcap
            parts.append(logits.gather(1, wanted[:, None])[:, 0] - logits.logsumexp(1))
        return torch.cat(parts)

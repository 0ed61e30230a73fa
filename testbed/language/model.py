"""A causal language model as the testbed uses it: prefixes, scores of continuations, token gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from testbed.errors import ModelError
from testbed.language.attention import NAME, Pass
from testbed.language.batch import Batch, Group, packed
from testbed.language.layout import Block
from testbed.language.loaded import LoadedModel
from testbed.language.rows import Prefix, Row, Tokens, common_prefix

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


UNUSED = torch.ones(1, 1, 1, 1, dtype=torch.bool)
"""A mask that is passed on as it is and never read: attention has its own."""


class LanguageModel(LoadedModel):
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
        token_budget: int | None = None,
        merge: bool = True,
    ) -> None:
        super().__init__(model, tokenizer, name, fingerprint, torch.device(device), dtype, token_budget)
        self.model.set_attn_implementation(NAME)
        self.merge = merge

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

    @cached_property
    def _logit_scale(self) -> float:
        """What logits are multiplied by (Cohere) or divided by (Granite) after the output layer."""
        config = self.model.config
        up, down = getattr(config, "logit_scale", None), getattr(config, "logits_scaling", None)
        return float(up or 1) / float(down or 1)

    def prefix(self, token_ids: Tokens, base: Prefix | None = None) -> Prefix:
        """Keys and values of `token_ids`; what `base` already covers is not computed again."""
        base = base or Prefix()
        shared = common_prefix(base.token_ids, token_ids)
        base = base.truncated(shared)
        rest = list(token_ids[len(base) :])
        if not rest:
            return base
        captured: list[tuple[Tensor, Tensor]] = []
        batch = Batch.of([Block.of(base, [Row(tuple(rest), ())])], self.device)
        with torch.inference_mode():
            self.hidden(batch, captured=captured)
        layers = tuple(
            (torch.cat([base.layers[i][0], keys], 2), torch.cat([base.layers[i][1], values], 2))
            if base.layers
            else (keys, values)
            for i, (keys, values) in enumerate(captured)
        )
        return Prefix(tuple(token_ids), layers)

    def log_probs(self, prefix: Prefix, rows: Sequence[Row]) -> list[list[Tensor]]:
        """Log-probabilities of every branch token: per row, per branch, a float32 tensor (len(branch),) on the CPU.

        Rows with `watched` tokens have one more part, for these.
        """
        return self.log_probs_of([(prefix, rows)])[0]

    def log_probs_of(self, groups: Sequence[Group]) -> list[list[list[Tensor]]]:
        """`log_probs` for rows of several prefixes, in as few passes as the token budget allows.

        Where a GPU's memory does not suffice, the budget is halved for good, with a warning.
        """
        return self.within_memory(partial(self._log_probs_of, groups))

    def _log_probs_of(self, groups: Sequence[Group]) -> list[list[list[Tensor]]]:
        results: list[list[list[Tensor]]] = [[[] for _ in rows] for _, rows in groups]
        values: list[Tensor] = []
        owners: list[tuple[list[Tensor], list[int]]] = []
        with torch.inference_mode():
            for chosen in packed(groups, self.token_budget):
                batch = Batch.of([block for _, _, block in chosen], self.device)
                values.append(self._token_log_probs(self.hidden(batch), batch))
                for number, indices, block in chosen:
                    rows = [results[number][index] for index in indices]
                    owners += zip(rows, block.parts(), strict=True)
            together = torch.cat(values).cpu() if values else torch.zeros(0)
        found = iter(torch.split(together, [length for _, lengths in owners for length in lengths]))
        for row, lengths in owners:
            row += [next(found) for _ in lengths]
        return results

    def next_log_probs(self, prefix: Prefix, trunks: Sequence[Tokens]) -> Tensor:
        """Log-probabilities of what comes after `prefix` and each trunk: (trunks, V) float32 on the CPU.

        A trunk holds at least one token.
        """
        found = torch.empty(len(trunks), self.embeddings.shape[0])
        with torch.inference_mode():
            for chosen in packed([(prefix, [Row(tuple(trunk), ()) for trunk in trunks])], self.token_budget):
                for _, indices, block in chosen:
                    batch = Batch.of([block], self.device)
                    ends = [at * block.width + len(row.trunk) - 1 for at, row in enumerate(block.rows)]
                    found[indices] = self.logits(self.hidden(batch)[ends]).log_softmax(1).cpu()
        return found

    def score(self, prefix: Prefix, rows: Sequence[Row]) -> Tensor:
        """Summed log-probability of every branch, (rows, branches) float32; rows must have equally many branches."""
        return torch.stack(
            [torch.stack([part.sum() for part in row]) for row in self.log_probs(prefix, rows)]
        )

    def gradient(
        self, prefix: Prefix, row: Row, span: slice, loss: Callable[[list[Tensor]], Tensor]
    ) -> tuple[Tensor, float]:
        """Gradient of a loss over log-probabilities with respect to one-hot trunk tokens in `span`.

        `loss` gets the row's parts as `log_probs` returns them. Where these hold `watched` tokens, which lie in `span`,
        the gradient is also that of the tokens as what is predicted. Returns (span length, V) float32 and the loss.
        """
        block = Block.of(prefix, [replace(row, watched=None)])
        batch = Batch.of([block], self.device)
        watched = slice(*row.watched) if row.watched else slice(0, 0)
        with torch.enable_grad():
            embedded = self.model.get_input_embeddings()(batch.tokens).detach()
            free = embedded[:, span].clone().requires_grad_(True)
            inputs = torch.cat([embedded[:, : span.start], free, embedded[:, span.stop :]], 1)
            hidden = self.hidden(batch, embedded=inputs, merge=False)
            values = self._token_log_probs(hidden, batch)
            parts = list(torch.split(values, block.parts()[0]))
            labels = one_hot(batch.tokens[0, watched], self.embeddings.shape[0]).float().requires_grad_(True)
            if row.watched:
                before = hidden[watched.start - 1 : watched.stop - 1]
                parts.append((self.logits(before).log_softmax(1) * labels).sum(1))
            value = loss(parts)
            slope, named = torch.autograd.grad(value, (free, labels), allow_unused=True)
        with torch.inference_mode():
            scale = float(getattr(self.model.get_input_embeddings(), "embed_scale", 1.0))  # Gemma
            found = (slope[0] @ self.embeddings.T).float() * scale
            if named is not None:
                found[watched.start - span.start : watched.stop - span.start] += named
            return found, float(value.detach())

    def generate(
        self, token_ids: Tokens, *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[int]:
        """New tokens after a prompt, up to the end-of-text token; greedy at temperature 0."""
        from testbed.language.decoding import decode

        return decode(self, token_ids, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)

    def hidden(
        self,
        batch: Batch,
        *,
        captured: list[tuple[Tensor, Tensor]] | None = None,
        embedded: Tensor | None = None,
        merge: bool | None = None,
    ) -> Tensor:
        """Last hidden states, (N, d); with gradients where these are enabled and something asks for them."""
        if self.window is not None and batch.last >= self.window:
            raise ModelError(
                f"model {self.name}: a prompt of {batch.last + 1} tokens is longer than the model's attention "
                f"window of {self.window}; show fewer listings (k) or less of them (field_limit)"
            )
        shared = Pass(batch.parts, self.merge if merge is None else merge, captured)
        arguments: dict[str, Any] = (
            {"input_ids": batch.tokens} if embedded is None else {"inputs_embeds": embedded}
        )
        output = self.model.base_model(
            **arguments,
            attention_mask=UNUSED.to(self.device),
            position_ids=batch.positions,
            use_cache=False,
            shared=shared,
        )
        hidden: Tensor = output.last_hidden_state[0]
        return hidden

    def _token_log_probs(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Log-probability of each scored token, in the batch's order: (A,) float32."""
        picked = hidden[batch.where]
        parts = []
        for states, wanted in zip(torch.split(picked, 1024), torch.split(batch.answers, 1024), strict=True):
            logits = self.logits(states)
            parts.append(logits.gather(1, wanted[:, None])[:, 0] - logits.logsumexp(1))
        return torch.cat(parts) if parts else hidden.new_zeros(0, dtype=torch.float32)

    def logits(self, states: Tensor) -> Tensor:
        """What the model says comes next, (A, V) float32."""
        logits: Tensor = self.model.get_output_embeddings()(states).float()
        if self._logit_scale != 1:
            logits = logits * self._logit_scale
        softcap = getattr(self.model.config, "final_logit_softcapping", None)
        return torch.tanh(logits / softcap) * softcap if softcap else logits

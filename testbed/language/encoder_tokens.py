"""The tokens of a sentence encoder, and the slope of a loss of its vector with respect to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from testbed.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Loss: TypeAlias = "Callable[[Tensor], Tensor]"
"""Of the unit vector of a text, (dimensions,), to a scalar."""


class EncoderTokens(Protocol):
    """What an attacker with gradients sees of an encoder."""

    @property
    def pieces(self) -> Sequence[str]:
        """Text of every token; '' for special ones."""

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens that are read of each text, special ones at its ends included; what is beyond the window is cut."""

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of tokens."""

    def slope(self, token_ids: Sequence[int], span: slice, loss: Loss) -> tuple[Tensor, float]:
        """Gradient with respect to the one-hot tokens of a span, (L, V) float32, and the loss itself."""


class NetworkTokens:
    """Of a sentence-transformers model whose first part reads tokens."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.tokenizer = model.tokenizer
        self.table = model[0].auto_model.get_input_embeddings().weight

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """Text of every token, as long as the embedding table; '' for special ones and for places without a token."""
        special = set(self.tokenizer.all_special_ids)
        names = self.tokenizer.convert_ids_to_tokens(range(len(self.tokenizer)))
        texts = [
            "" if number in special else self.tokenizer.convert_tokens_to_string([name])
            for number, name in enumerate(names)
        ]
        # A piece that only goes on with a word keeps its mark when it stands alone.
        texts = [text.removeprefix("##") for text in texts]
        return (*texts, *[""] * (len(self.table) - len(texts)))

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each text as the model reads it."""
        if not texts:
            return []
        window = self.model.max_seq_length
        found = self.tokenizer(list(texts), truncation=window is not None, max_length=window)["input_ids"]
        return [list(ids) for ids in found]

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of tokens, a blank between words."""
        return str(self.tokenizer.decode(list(token_ids), clean_up_tokenization_spaces=False))

    def slope(self, token_ids: Sequence[int], span: slice, loss: Loss) -> tuple[Tensor, float]:
        """By one backward pass through the whole encoder."""
        import torch

        device = self.table.device
        ids = torch.tensor([list(token_ids)], device=device)
        with torch.enable_grad():
            inputs = self.table[ids].detach().requires_grad_(True)
            features = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            read = self.model[0].auto_model(inputs_embeds=inputs, attention_mask=features["attention_mask"])
            features["token_embeddings"] = read.last_hidden_state
            for part in list(self.model)[1:]:
                features = part(features)
            value = loss(torch.nn.functional.normalize(features["sentence_embedding"][0], dim=-1))
            (slope,) = torch.autograd.grad(value, inputs)
        return (slope[0, span] @ self.table.T).detach().cpu(), float(value.detach())


def tokens_of(model: Any) -> EncoderTokens:
    """The tokens of a loaded encoder. UserError for one that reads no tokens that could be changed."""
    try:
        return NetworkTokens(model)
    except (AttributeError, TypeError, IndexError):
        raise UserError("this encoder shows no gradients; attack it by scores or ranks") from None

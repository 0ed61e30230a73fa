"""What every loaded model has, causal or encoder-decoder: frozen weights, a tokenizer, a token budget."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from testbed.language import capacity
from testbed.language.rows import Tokens
from testbed.language.special import specials_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

T = TypeVar("T")


class LoadedModel:
    """A network on its device, in evaluation mode and without gradients, with its tokenizer."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        fingerprint: str,
        device: torch.device,
        dtype: torch.dtype | None,
        token_budget: int | None,
    ) -> None:
        self.name, self.fingerprint = name, fingerprint
        self.device = device
        self.dtype = dtype or model.dtype
        self.tokenizer = tokenizer
        self.model = model.to(device=self.device, dtype=self.dtype).eval().requires_grad_(False)
        self.token_budget = token_budget or capacity.token_budget(model.config, self.device)

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
    def specials(self) -> tuple[str, ...]:
        """Texts that are read as one special token, see `testbed.language.special`."""
        return specials_of(self.tokenizer)

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

    def within_memory(self, work: Callable[[], T]) -> T:
        """What `work` returns, which is done again after it ran out of a GPU's memory.

        The token budget is halved for good then, with a warning.
        """
        while True:
            try:
                return work()
            except torch.OutOfMemoryError:
                if self.token_budget <= 1:
                    raise
                torch.cuda.empty_cache()
                self.token_budget //= 2
                warnings.warn(
                    f"model {self.name}: out of memory; going on with {self.token_budget} tokens at a time",
                    stacklevel=3,
                )

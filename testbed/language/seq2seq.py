"""An encoder-decoder language model (BART, T5) as the testbed uses it: states of a source and of decoder tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from testbed.errors import ModelError
from testbed.language.loaded import LoadedModel
from testbed.language.rows import Tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class EncoderDecoder(LoadedModel):
    """An encoder-decoder model with its tokenizer. Weights are frozen; methods have no side effects.

    `context`: the decoder tokens that free generation begins behind, the start token and a first token that the model's
    generation settings force (BART's).
    """

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
    ) -> None:
        super().__init__(model, tokenizer, name, fingerprint, torch.device(device), dtype, token_budget)
        self.context = context_of(model, name)

    @property
    def vocabulary(self) -> int:
        """V: tokens that the decoder gives a probability."""
        return int(self.model.get_output_embeddings().weight.shape[0])

    def source(self, text: str) -> list[int]:
        """Token ids of a text as the encoder expects it, with the tokenizer's special tokens."""
        ids: list[int] = self.tokenizer.encode(text)
        return ids

    def encoded(self, texts: Sequence[Tokens]) -> list[Tensor]:
        """What the encoder makes of texts, each (len(text), d). ModelError for one beyond its positions."""
        self._check_lengths(texts, "encoder")
        ids, seen = self._padded(texts), _seen([len(text) for text in texts], self.device)
        with torch.inference_mode():
            states = self.model.get_encoder()(input_ids=ids, attention_mask=seen).last_hidden_state
            return [own[: len(text)].clone() for own, text in zip(states, texts, strict=True)]

    def decoded(self, encoded: Sequence[Tensor], texts: Sequence[Tokens]) -> list[Tensor]:
        """What the output layer gets for decoder tokens, each (len(text), d); texts begin with `context`.

        `encoded`: what the encoder made for each of them. ModelError for a text beyond the decoder's positions.
        """
        from transformers.modeling_outputs import BaseModelOutput

        self._check_lengths(texts, "decoder")
        caught: list[Tensor] = []

        def catch(_: object, inputs: tuple[Tensor]) -> tuple[Tensor]:
            caught.append(inputs[0])
            return (inputs[0][:, :1],)  # logits of all tokens would cost as much as all else

        handle = self.model.get_output_embeddings().register_forward_pre_hook(catch)
        try:
            with torch.inference_mode():
                self.model(
                    encoder_outputs=BaseModelOutput(last_hidden_state=pad_sequence(list(encoded), True)),
                    attention_mask=_seen([len(own) for own in encoded], self.device),
                    decoder_input_ids=self._padded(texts),
                    use_cache=False,
                )
        finally:
            handle.remove()
        return [own[: len(text)] for own, text in zip(caught[0], texts, strict=True)]

    def logits(self, states: Tensor) -> Tensor:
        """What the model says comes next, (A, V) float32."""
        logits: Tensor = self.model.get_output_embeddings()(states)
        bias = getattr(self.model, "final_logits_bias", None)  # BART and its kin
        return (logits if bias is None else logits + bias).float()

    def _padded(self, texts: Sequence[Tokens]) -> Tensor:
        """Token ids, (B, T); padding comes last, where no decoder token sees it."""
        padding = float(self.tokenizer.pad_token_id or 0)
        return pad_sequence([torch.tensor(list(text)) for text in texts], True, padding).to(self.device)

    def _check_lengths(self, texts: Sequence[Tokens], side: str) -> None:
        config = self.model.config
        most = getattr(config, f"max_{side}_position_embeddings", None)  # LED has one for each side
        most = most or getattr(config, "max_position_embeddings", None)
        length = max(map(len, texts))
        if most is not None and length > most:
            raise ModelError(
                f"model {self.name}: {length} tokens are more than the {most} that its {side} takes"
            )


def context_of(model: PreTrainedModel, name: str) -> tuple[int, ...]:
    """Decoder tokens before the first free one, as transformers' `generate` sets them."""
    settings = model.generation_config
    start = settings.decoder_start_token_id
    start = settings.bos_token_id if start is None else start
    if not isinstance(start, int):
        raise ModelError(f"model {name}: its generation settings name no decoder_start_token_id")
    forced = settings.forced_bos_token_id
    return (start,) if forced is None else (start, int(forced))


def _seen(lengths: Sequence[int], device: torch.device) -> Tensor:
    """(B, longest): 1 where a row has a token."""
    return (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long().to(device)

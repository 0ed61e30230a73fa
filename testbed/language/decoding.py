"""Free generation, with its own random generator (the library's sampling uses global state)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from transformers import DynamicCache

if TYPE_CHECKING:
    from testbed.language.loaded import LoadedModel
    from testbed.language.model import LanguageModel


def decode(
    model: LanguageModel, token_ids: Sequence[int], *, max_new_tokens: int, temperature: float, seed: int
) -> list[int]:
    """New tokens after a prompt until an end token or `max_new_tokens`; the end token is left out."""
    generator = torch.Generator(device="cpu").manual_seed(seed % 2**63)
    stop = end_tokens(model)
    cache = DynamicCache(config=model.model.config)
    current = torch.tensor([list(token_ids)], device=model.device)
    written: list[int] = []
    with torch.inference_mode():
        for _ in range(max_new_tokens):
            output = model.model(input_ids=current, past_key_values=cache, use_cache=True, logits_to_keep=1)
            logits = output.logits[0, -1].float().cpu()
            if temperature > 0:
                weights = (logits / temperature).softmax(0)
                token = int(torch.multinomial(weights, 1, generator=generator))
            else:
                token = int(logits.argmax())
            if token in stop:
                break
            written.append(token)
            current = torch.tensor([[token]], device=model.device)
    return written


def end_tokens(model: LoadedModel) -> set[int]:
    """Tokens that end an answer: the tokenizer's and those the model's generation settings name."""
    settings = getattr(model.model, "generation_config", None)
    named = getattr(settings, "eos_token_id", None)
    tokens = set(named if isinstance(named, list) else [named])
    tokens.add(model.tokenizer.eos_token_id)
    return {token for token in tokens if token is not None}

"""Whether the engine gives the numbers of the model's own forward pass; asked once, when a model is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from testbed.errors import ModelError

if TYPE_CHECKING:
    from testbed.language.model import LanguageModel
    from testbed.language.seq2seq import EncoderDecoder

LENGTH = 16
"""Tokens of the sample."""
CLOSE = {torch.float32: 0.01}
ROUGH = 0.6
"""Nats by which log-probabilities may differ on average, in float32 and in half precision (SmolLM2: 0.1)."""


def check_numbers(model: LanguageModel) -> None:
    """ModelError for a model that the engine does not reproduce.

    Layers that mix tokens elsewhere than in attention, attention of their own and scaled logits all run
    without an error and give wrong numbers. Two rows beside a shared prefix show them.
    """
    length = min(LENGTH, model.window or LENGTH)
    sample = [(7 * index * index + 3) % len(model.tokenizer) for index in range(length + 1)]
    prefix, rows = sample[: length // 2], [sample[length // 2 : -1], sample[length // 2 + 1 :]]
    kind = model.model.config.model_type
    try:
        found = model.next_log_probs(model.prefix(tuple(prefix)), rows)
        wanted = torch.stack([_plain(model, [*prefix, *row]) for row in rows])
    except ModelError:
        raise
    except Exception as error:  # whatever a model makes of attention that is not its own
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"model {model.name}: models of type {kind!r} cannot be run yet ({reason})"
        ) from error
    off = float((found - wanted).abs().mean())
    if not off <= CLOSE.get(model.dtype, ROUGH):
        raise ModelError(
            f"model {model.name}: models of type {kind!r} cannot be run yet: attention to a shared prefix gives "
            f"other log-probabilities than the model itself (off by {off:.2g} nats on average)"
        )


def _plain(model: LanguageModel, token_ids: list[int]) -> Tensor:
    """The model's own log-probabilities of what comes after some tokens: (V,) on the CPU."""
    with torch.inference_mode():
        ids = torch.tensor([token_ids], device=model.device)
        logits: Tensor = model.model(input_ids=ids, use_cache=False).logits[0, -1]
        return logits.float().log_softmax(0).cpu()


def check_decoder_numbers(model: EncoderDecoder) -> None:
    """ModelError for an encoder-decoder model whose token trees differ from its own forward pass."""
    from testbed.language.seq2seq_tree import SourceTrees
    from testbed.language.tree import Growth

    sample = [(7 * index * index + 3) % len(model.tokenizer) for index in range(LENGTH)]
    sources, path = [sample[:-4], sample[-4:]], sample[:3]
    kind = model.model.config.model_type
    try:
        trees = SourceTrees(model)
        started = trees.start(sources)
        nodes = trees.grow([Growth.of(tree, [path]) for tree in started])
        found = trees.log_probs([(tree, own[-1:]) for tree, own in zip(started, nodes, strict=True)])
        wanted = [_plain_decoder(model, source, [*model.context, *path]) for source in sources]
    except Exception as error:  # whatever a model makes of a call that BART and T5 understand
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"model {model.name}: models of type {kind!r} cannot be run yet ({reason})"
        ) from error
    off = float((torch.cat(found) - torch.stack(wanted)).abs().mean())
    if not off <= CLOSE.get(model.dtype, ROUGH):
        raise ModelError(
            f"model {model.name}: models of type {kind!r} cannot be run yet: token trees give other "
            f"log-probabilities than the model itself (off by {off:.2g} nats on average)"
        )


def _plain_decoder(model: EncoderDecoder, source: list[int], text: list[int]) -> Tensor:
    """The model's own log-probabilities of what comes after decoder tokens: (V,) on the CPU."""
    with torch.inference_mode():
        ids, own = (torch.tensor([tokens], device=model.device) for tokens in (source, text))
        logits: Tensor = model.model(input_ids=ids, decoder_input_ids=own, use_cache=False).logits[0, -1]
        return logits.float().log_softmax(0).cpu()

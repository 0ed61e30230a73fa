"""Encoder-decoder models with random weights and the tiny tokenizer, made in memory."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from testbed.testing.tiny import tiny_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from testbed.language.seq2seq import EncoderDecoder

SEQ2SEQ = ("bart", "t5")


@cache
def tiny_encoder_decoder(family: str = "bart", *, seed: int = 0) -> EncoderDecoder:
    """An encoder-decoder model of two layers a side, float32 on the CPU; loaded once per process.

    `family`: one of SEQ2SEQ. ValueError for another.
    """
    from testbed.language.seq2seq import EncoderDecoder

    return EncoderDecoder(
        model=tiny_seq2seq_network(family, seed=seed),
        tokenizer=tiny_tokenizer(),
        name=f"tiny-{family}",
        fingerprint=f"{family}-{seed}",
    )


def tiny_seq2seq_network(family: str, *, seed: int = 0) -> PreTrainedModel:
    """The bare network, with weights large enough that its answers differ from each other."""
    import torch

    config = _configuration(family)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        from transformers import AutoModelForSeq2SeqLM

        network: PreTrainedModel = AutoModelForSeq2SeqLM.from_config(config)
        if family == "bart":
            network.generation_config.forced_bos_token_id = 1
            network.final_logits_bias.normal_()
    return network.float().eval()


def _configuration(family: str) -> Any:
    import transformers

    tokens = {"vocab_size": len(tiny_tokenizer()), "pad_token_id": 0, "eos_token_id": 2, "d_model": 32}
    match family:
        case "bart":
            sides = {
                f"{side}_{what}": size
                for side in ("encoder", "decoder")
                for what, size in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 64))
            }
            return transformers.BartConfig(
                **tokens, **sides, bos_token_id=1, decoder_start_token_id=2, max_position_embeddings=64,
                init_std=0.3,
            )  # fmt: skip
        case "t5":
            return transformers.T5Config(
                **tokens, d_kv=8, num_heads=4, num_layers=2, d_ff=64, decoder_start_token_id=0,
                initializer_factor=2.0, scale_decoder_outputs=True,
            )  # fmt: skip
    raise ValueError(f"unknown family {family!r}; there are {', '.join(SEQ2SEQ)}")

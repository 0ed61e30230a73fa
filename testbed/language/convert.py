"""From a GGUF file to a folder that transformers reads: dequantised, tokenizer as the model was trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import ModelError
from testbed.language.prepared import hushed

if TYPE_CHECKING:
    import torch


def convert_gguf(source: Path, target: Path) -> None:
    """Write `source`, dequantised, as safetensors with its tokenizer into the folder `target`.

    float32, because nothing is lost: a 4-bit block is scale times integer plus offset, with float16 scales.
    For SmolLM2-135M bfloat16 would move weights by up to 0.014 and log-probabilities by up to 0.14 nats,
    float16 by 0.002 and 0.03. The dtype of a run is chosen when the folder is loaded.
    """
    import torch

    model, tokenizer = read_gguf(source, torch.float32)
    with hushed():
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)


def read_gguf(source: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """Model and tokenizer of a GGUF file, dequantised to `dtype`; ModelError when it cannot be read."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder, name = str(source.parent), source.name
    try:
        with hushed():
            tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name, trust_remote_code=False)
            model = AutoModelForCausalLM.from_pretrained(
                folder,
                gguf_file=name,
                quantization_config=GgufConfig(dequantize=True),
                dtype=dtype,
                attn_implementation="sdpa",
                trust_remote_code=False,
            )
    except Exception as error:  # a damaged file fails in many ways, none of them ours
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{source}: transformers cannot read this GGUF file: {reason}") from error
    restore_pre_tokenizer(tokenizer, pre_tokenizer_name(source))
    tokenizer.model_max_length = model.config.max_position_embeddings
    return model, tokenizer


def pre_tokenizer_name(source: Path) -> str:
    """The way of splitting text that a GGUF file names (`tokenizer.ggml.pre`); '' when it names none."""
    from gguf import GGUFReader

    field = GGUFReader(source).get_field("tokenizer.ggml.pre")
    return str(field.contents()) if field else ""


def restore_pre_tokenizer(tokenizer: Any, name: str) -> None:
    """Split digits one by one where the model was trained so, which transformers drops when it reads GGUF.

    Without it a line break or a run of spaces before a number is cut differently from training.
    """
    if name != "smollm":
        return
    from tokenizers import pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )

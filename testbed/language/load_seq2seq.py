"""An encoder-decoder language model by local folder or hub id."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import ModelError, shown
from testbed.language.adapter import is_adapter
from testbed.language.fingerprint import fingerprint
from testbed.language.load import (
    HUB_ID,
    check_files,
    configuration,
    from_pretrained,
    looks_like_path,
    with_padding,
)
from testbed.language.packaged import PACKAGED
from testbed.language.precision import choose_device, choose_dtype
from testbed.language.prepared import hushed

if TYPE_CHECKING:
    import torch

    from testbed.language.seq2seq import EncoderDecoder

KIND = "AutoModelForSeq2SeqLM"


def load_seq2seq(model: str, *, device: str = "auto", dtype: str = "auto") -> EncoderDecoder:
    """The encoder-decoder model behind a name, on the chosen device and in the chosen dtype.

    `model`: a folder that transformers reads, or a hub id (`owner/name`, `owner/name@revision`). Only safetensors
    are read, and no code that comes with a model is run. ModelError says what is missing or wrong, also for an
    architecture whose own numbers the token trees do not reproduce.
    """
    from testbed.language.selfcheck import check_decoder_numbers
    from testbed.language.seq2seq import EncoderDecoder

    where = choose_device(device)
    precision = choose_dtype(dtype, where)
    network, tokenizer, identity = read(model, precision)
    loaded = EncoderDecoder(
        model=network,
        tokenizer=with_padding(tokenizer),
        name=model,
        fingerprint=identity,
        device=where,
        dtype=precision,
    )
    check_decoder_numbers(loaded)
    return loaded


def read(model: str, dtype: torch.dtype) -> tuple[Any, Any, str]:
    """Network, tokenizer and fingerprint of a model, on the CPU."""
    local = Path(model).expanduser()
    if model in PACKAGED:
        kind = PACKAGED[model].kind
        raise ModelError(
            f"model {model!r} is {_a(kind)}, not an encoder-decoder model; give a folder or a hub id"
        )
    if local.is_dir():
        if is_adapter(local):
            raise ModelError(
                f"model {model}: an adapter; merge it into its encoder-decoder model and save that"
            )
        check_files(str(local))
        check_seq2seq(configuration(str(local), None, str(local)), model)
        with hushed():
            return *from_pretrained(str(local), None, dtype, model, KIND), fingerprint(local)
    if local.is_file():
        raise ModelError(f"model {model}: is a file; an encoder-decoder model is a folder with config.json")
    if looks_like_path(model):
        raise ModelError(f"model {shown(model)}: there is no such folder")
    if not HUB_ID.fullmatch(model):
        raise ModelError(f"model {shown(model)}: is neither a folder nor a hub id")
    name, _, revision = model.partition("@")
    config = configuration(name, revision or None, model)
    check_seq2seq(config, model)
    commit = getattr(config, "_commit_hash", None) or revision or None
    network, tokenizer = from_pretrained(name, commit, dtype, model, KIND)
    return network, tokenizer, hashlib.sha256(f"{name}@{commit}".encode()).hexdigest()[:16]


def check_seq2seq(config: Any, model: str) -> None:
    """Refuse what is not an encoder-decoder model of text; a bare one (BartModel) has all weights that are needed."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES as HEADED
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES as BARE

    names = getattr(config, "architectures", None) or []
    kind = config.model_type
    if not getattr(config, "is_encoder_decoder", False):
        fault = "not an encoder-decoder model"
    elif kind not in HEADED or (names and {HEADED[kind], BARE.get(kind)}.isdisjoint(names)):
        fault = "not an encoder-decoder language model"
    else:
        return
    raise ModelError(
        f"model {model}: {', '.join(names) or kind} is {fault}; "
        "give one that reads a text and writes another (…ForConditionalGeneration: BART, T5)"
    )


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"

"""A tokenizer without its model: for chat templates and special tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from testbed.errors import ModelError, listed, shown
from testbed.language.load import HUB_ID, looks_like_path, reason
from testbed.language.packaged import PACKAGED
from testbed.language.packaged import path as packaged_path

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(model: str, cache: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a packaged language model, a folder or a hub id (`owner/name@revision`).

    No code that comes with it is run. ModelError says what is missing.
    """
    from transformers import AutoTokenizer

    name, revision = model, None
    if model in PACKAGED and PACKAGED[model].kind == "language model":
        name = str(packaged_path(model, cache))
    elif Path(model).expanduser().is_dir():
        name = str(Path(model).expanduser())
    elif looks_like_path(model) or not HUB_ID.fullmatch(model):
        raise ModelError(f"tokenizer {shown(model)}: no such folder; packaged models are {listed(PACKAGED)}")
    else:
        name, _, revision = model.partition("@")
    try:
        return AutoTokenizer.from_pretrained(name, revision=revision or None, trust_remote_code=False)
    except Exception as error:  # transformers and tokenizers each raise kinds of their own
        raise ModelError(f"tokenizer {model}: {reason(error)}") from error

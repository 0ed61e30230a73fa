"""A causal language model by packaged name, local folder, GGUF file or hub id."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.environment import cache_dir
from testbed.errors import ModelError, did_you_mean, listed, shown
from testbed.language.adapter import is_adapter, merge, settings
from testbed.language.fingerprint import fingerprint
from testbed.language.packaged import PACKAGED
from testbed.language.packaged import path as packaged_path
from testbed.language.precision import choose_device, choose_dtype
from testbed.language.prepared import hushed

if TYPE_CHECKING:
    import torch

    from testbed.language.model import LanguageModel

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(@[\w./-]+)?")
"""`owner/name` or `name`, with `@revision` if wanted."""


def load(
    model: str, *, device: str = "auto", dtype: str = "auto", cache: Path | None = None
) -> LanguageModel:
    """The language model behind a name, on the chosen device and in the chosen dtype.

    `model`: a packaged name (`smollm2-135m`), a folder that transformers reads, a folder with a LoRA adapter
    in PEFT's format (merged into its base model), a `.gguf` file, or a hub id (`owner/name`,
    `owner/name@revision`). Only safetensors and GGUF weights are read, and no code that comes with a model is
    run. A model without chat template is accepted: its tokenizer's `chat_template` is None
    and prompts are plain text. ModelError says what is missing or wrong, also for an architecture whose own
    numbers the engine does not reproduce.
    """
    from testbed.language.model import LanguageModel
    from testbed.language.selfcheck import check_numbers

    where, precision = choose_device(device), choose_dtype(dtype, choose_device(device))
    network, tokenizer, identity = read(model, precision, cache or cache_dir())
    loaded = LanguageModel(
        model=network,
        tokenizer=with_padding(tokenizer),
        name=model,
        fingerprint=identity,
        device=where,
        dtype=precision,
    )
    check_numbers(loaded)
    return loaded


def read(model: str, dtype: torch.dtype, cache: Path) -> tuple[Any, Any, str]:
    """Network, tokenizer and fingerprint of a model, on the CPU."""
    if model in PACKAGED:
        if PACKAGED[model].kind != "language model":
            raise ModelError(f"model {model!r} is an {PACKAGED[model].kind}, not a language model")
        folder = packaged_path(model, cache)
        network, tokenizer = read_folder(str(folder), dtype)
        identity = PACKAGED[model].sha256[:16]
        adapter = PACKAGED[model].adapter
        return adapted(network, tokenizer, identity, adapter) if adapter else (network, tokenizer, identity)
    local = Path(model).expanduser()
    if local.is_dir() and is_adapter(local):
        return adapted(*read(base_of(local), dtype, cache), local)
    if local.is_dir():
        return *read_folder(str(local), dtype), fingerprint(local)
    if local.is_file():
        return *read_file(local, dtype), fingerprint(local)
    if looks_like_path(model):
        raise ModelError(f"model {shown(model)}: there is no such file or folder")
    hint = did_you_mean(model, PACKAGED)
    if not HUB_ID.fullmatch(model) or (hint and "/" not in model):
        raise ModelError(
            f"model {shown(model)}: no packaged model is called so; {hint or f'there are {listed(PACKAGED)}'}"
            " (or give a folder, a .gguf file or a hub id)"
        )
    return read_hub(model, dtype)


def base_of(adapter: Path) -> str:
    """The model that an adapter folder was tuned from; a relative path is relative to the folder where it stands."""
    named = str(settings(adapter)["base_model_name_or_path"])
    if (adapter / named).is_dir() and is_adapter(adapter / named):
        raise ModelError(f"model {adapter}: its base {shown(named)} is an adapter too; merge that one first")
    return str(adapter / named) if (adapter / named).is_dir() else named


def tuned_from(model: str) -> str | None:
    """The model that a name's weights were fine-tuned from by an adapter; None where there is no adapter."""
    if model in PACKAGED:
        return PACKAGED[model].tuned
    local = Path(model).expanduser()
    return base_of(local) if local.is_dir() and is_adapter(local) else None


def adapted(network: Any, tokenizer: Any, identity: str, adapter: Path) -> tuple[Any, Any, str]:
    """A model with an adapter merged into it. ModelError when the adapter was made for other weights."""
    made_for = settings(adapter).get("base_fingerprint")
    if made_for not in (None, identity):
        raise ModelError(
            f"{adapter}: was tuned on weights {shown(made_for)}, but its base model is {identity}"
        )
    merge(network, adapter)
    both = hashlib.sha256(f"{identity}+{fingerprint(adapter)}".encode()).hexdigest()
    return network, tokenizer, both[:16]


def looks_like_path(model: str) -> bool:
    """Whether a name can only be meant as a path."""
    return model.startswith((".", "/", "~", os.sep)) or model.endswith(".gguf") or model.count("/") > 1


def read_file(path: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """Network and tokenizer of a single file, which must be GGUF."""
    from testbed.language.convert import read_gguf

    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError(f"{path}: is not a GGUF file; give a GGUF file or a folder with config.json")
    return read_gguf(path, dtype)


def read_folder(folder: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Network and tokenizer of a local folder."""
    check_files(folder)
    check_causal(configuration(folder, None, folder), folder)
    with hushed():
        return from_pretrained(folder, None, dtype, folder)


def check_files(folder: str) -> None:
    """Refuse a folder without configuration or without safetensors."""
    names = set(os.listdir(folder))
    if "config.json" not in names:
        raise ModelError(f"model {folder}: there is no config.json in this folder")
    if not any(name.endswith(".safetensors") for name in names):
        raise ModelError(f"model {folder}: there are no .safetensors weights in this folder")


def read_hub(model: str, dtype: torch.dtype) -> tuple[Any, Any, str]:
    """Network, tokenizer and fingerprint (of name and commit) of a model on the hub."""
    name, _, revision = model.partition("@")
    config = configuration(name, revision or None, model)
    check_causal(config, model)
    commit = getattr(config, "_commit_hash", None)
    network, tokenizer = from_pretrained(name, commit or revision or None, dtype, model)
    return network, tokenizer, hashlib.sha256(f"{name}@{commit or revision}".encode()).hexdigest()[:16]


def configuration(name: str, revision: str | None, model: str) -> Any:
    """The model's configuration; ModelError with the likely reason when there is none."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"model {model}: {reason(error)}") from error


def check_causal(config: Any, model: str) -> None:
    """Refuse encoders and encoder-decoder models: they give no next-token probabilities from the left."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

    names = getattr(config, "architectures", None) or []
    causal = {name for entry in CAUSAL.values() for name in ([entry] if isinstance(entry, str) else entry)}
    if getattr(config, "is_encoder_decoder", False):
        kind = "an encoder-decoder model"
    elif config.model_type not in CAUSAL or (names and causal.isdisjoint(names)):
        kind = "not a causal language model"
    else:
        return
    raise ModelError(
        f"model {model}: {', '.join(names) or config.model_type} is {kind}; "
        "give one that predicts the next token (…ForCausalLM)"
    )


def from_pretrained(
    name: str, revision: str | None, dtype: torch.dtype, model: str, kind: str = "AutoModelForCausalLM"
) -> tuple[Any, Any]:
    """Network and tokenizer through transformers; every weight must be there. `kind`: one of its Auto classes."""
    import transformers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            name, revision=revision, trust_remote_code=False
        )
        network, report = getattr(transformers, kind).from_pretrained(
            name,
            revision=revision,
            dtype=dtype,
            attn_implementation="sdpa",
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:  # transformers, tokenizers and safetensors each raise kinds of their own
        raise ModelError(f"model {model}: {reason(error)}") from error
    if report["missing_keys"]:
        raise ModelError(
            f"model {model}: its files lack the weights {listed(sorted(report['missing_keys']), 3)}"
        )
    return network, tokenizer


def reason(error: BaseException) -> str:
    """Why transformers could not load a model, in one line, from the error and its causes."""
    from huggingface_hub import errors

    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    if any(isinstance(link, errors.GatedRepoError) for link in chain):
        return "the hub grants it only to accounts that accepted its terms; log in with `hf auth login`"
    if any(isinstance(link, errors.RepositoryNotFoundError | errors.RevisionNotFoundError) for link in chain):
        return f"the hub has no such model or revision; packaged models are {listed(PACKAGED)}"
    if any(isinstance(link, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled) for link in chain):
        return (
            "it is not in the local cache and the hub cannot be reached; download it while online "
            f"(`hf download`), give a local folder, or use a packaged model ({listed(PACKAGED)})"
        )
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def with_padding(tokenizer: Any) -> Any:
    """The tokenizer with a padding token: the end-of-text token, or token 0, where the model names none."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer

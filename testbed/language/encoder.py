"""Sentence encoders: text to a unit vector, by packaged name, local folder or hub id."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import ModelError, did_you_mean, listed, shown
from testbed.language.fingerprint import fingerprint
from testbed.language.load import looks_like_path, reason
from testbed.language.packaged import PACKAGED
from testbed.language.packaged import path as packaged_path
from testbed.language.precision import choose_device
from testbed.language.prepared import hushed

if TYPE_CHECKING:
    import numpy as np

    from testbed.language.encoder_tokens import EncoderTokens

BATCH = 32
"""Texts encoded at once; fixed, because padding with other neighbours changes the last bits."""


class Encoder:
    """A sentence-transformers model in float32. Has no state that a call changes.

    `tokens`: another view of its tokens than the model's own.
    """

    def __init__(self, model: Any, name: str, fingerprint: str, tokens: EncoderTokens | None = None) -> None:
        self._model, self.name, self.fingerprint = model, name, fingerprint
        self._tokens = tokens

    @cached_property
    def tokens(self) -> EncoderTokens:
        """Its tokens and gradients with respect to them. UserError where it has none to show."""
        from testbed.language.encoder_tokens import tokens_of

        return self._tokens or tokens_of(self._model)

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self._model.get_embedding_dimension())

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of texts, (len(texts), dimensions) float32; what is beyond the window is cut."""
        import numpy as np

        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        vectors = self._model.encode(
            list(texts),
            batch_size=BATCH,
            show_progress_bar=False,
            convert_to_numpy=True,
            normalize_embeddings=True,
        )
        return np.ascontiguousarray(vectors, dtype=np.float32)


def load_encoder(model: str, *, device: str = "auto", cache: Path | None = None) -> Encoder:
    """The encoder behind a packaged name (`minilm`), a sentence-transformers folder or a hub id.

    Only safetensors are read and no code that comes with a model is run. ModelError says what is missing.
    """
    where, identity = locate(model, cache)

    import torch
    from sentence_transformers import SentenceTransformer

    try:
        with hushed() if Path(where).is_dir() else nullcontext():  # downloads keep their bars
            network = SentenceTransformer(
                where,
                device=str(choose_device(device)),
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True, "dtype": torch.float32},
            )
    except Exception as error:  # transformers, tokenizers and safetensors each raise kinds of their own
        raise ModelError(f"encoder {model}: {reason(error)}") from error
    return Encoder(network.eval().requires_grad_(False), model, identity or _commit(network, model))


def locate(model: str, cache: Path | None) -> tuple[str, str]:
    """Folder or hub id of an encoder and its fingerprint; '' for a hub id, known only once it is loaded."""
    encoders = [name for name, entry in PACKAGED.items() if entry.kind == "encoder"]
    if model in encoders:
        return str(packaged_path(model, cache)), PACKAGED[model].sha256[:16]
    if model in PACKAGED:
        raise ModelError(f"encoder {model!r}: it is a {PACKAGED[model].kind}; packaged: {listed(encoders)}")
    local = Path(model).expanduser()
    if local.is_dir():
        return str(local), fingerprint(local)
    if looks_like_path(model):
        raise ModelError(f"encoder {shown(model)}: there is no such folder")
    if "/" not in model:
        hint = did_you_mean(model, encoders) or f"there are {listed(encoders)}"
        raise ModelError(
            f"encoder {shown(model)}: no packaged encoder is called so; {hint} (or give a folder or a hub id)"
        )
    return model, ""


def _commit(network: Any, model: str) -> str:
    """Fingerprint of hub id and commit, as far as the loaded model knows it."""
    config = getattr(getattr(network[0], "auto_model", None), "config", None)
    return hashlib.sha256(f"{model}@{getattr(config, '_commit_hash', '')}".encode()).hexdigest()[:16]

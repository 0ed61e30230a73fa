"""A sentence encoder whose top layers learn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import UserError
from testbed.language.encoder import Encoder, load_encoder

if TYPE_CHECKING:
    from torch import Tensor, nn


class LearningEncoder(Encoder):
    """An encoder of its owner's own: the weights of its top layers have gradients, and change under who trains them.

    `layers`: those layers, lowest first. Dropout stays off, so that the same weights give the same vectors.
    """

    layers: nn.ModuleList

    @classmethod
    def loaded(
        cls, model: str, layers: int, *, device: str = "auto", cache: Path | None = None
    ) -> LearningEncoder:
        """A fresh copy of an encoder with so many layers that learn. UserError where it has none that can be told."""
        from torch import nn

        base = load_encoder(model, device=device, cache=cache)
        known = _layers_of(base._model)
        if known is None:
            raise UserError(
                f"encoder {model}: its transformer layers cannot be told, so none can learn; encoder_layers: 0 leaves "
                "it as it is"
            )
        if not 1 <= layers <= len(known):
            raise UserError(f"encoder {model}: has {len(known)} layers; encoder_layers: {layers} is too many")
        found = cls(base._model, base.name, base.fingerprint)
        found.layers = nn.ModuleList(known[len(known) - layers :]).requires_grad_(True)
        return found

    def vectors(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors as `encode` makes them, (len(texts), dimensions), with gradients; all texts at once."""
        from torch.nn.functional import normalize

        network = self._model
        prompt = network.prompts.get(network.default_prompt_name or "", "")
        read = getattr(network, "preprocess", None) or network.tokenize  # the latter before 6.0
        features = {
            name: value.to(network.device) if hasattr(value, "to") else value
            for name, value in read([prompt + text for text in texts]).items()
        }
        found: Tensor = normalize(network(features)["sentence_embedding"], dim=-1)
        return found

    def save(self, folder: Path) -> None:
        """Write it as a sentence-transformers folder: safetensors and JSON."""
        self._model.save_pretrained(str(folder), create_model_card=False)


def _layers_of(network: Any) -> list[nn.Module] | None:
    """The transformer layers of a sentence-transformers model: the one list of as many as its configuration says."""
    from torch import nn

    try:
        inner = network[0].auto_model
        count = int(inner.config.num_hidden_layers)
    except (AttributeError, TypeError, IndexError):
        return None
    lists = {
        name: part
        for name, part in inner.named_modules()
        if isinstance(part, nn.ModuleList) and len(part) == count
    }
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    return list(lists[outer[0]]) if len(outer) == 1 else None

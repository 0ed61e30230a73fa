"""LoRA adapters in PEFT's format, merged into their model when it is loaded (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import ModelError, listed, shown

if TYPE_CHECKING:
    from torch import Tensor, nn

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LEAD = "base_model.model."
"""What PEFT puts in front of every name."""
UNKNOWN = ("use_dora", "use_rslora", "modules_to_save", "rank_pattern", "alpha_pattern", "lora_bias")
"""Settings under which an adapter is more than scale · B A on linear layers."""


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no model of its own."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def settings(folder: Path) -> dict[str, Any]:
    """An adapter's configuration. ModelError when it is damaged or of a kind that cannot be merged."""
    place = folder / CONFIG
    try:
        found = json.loads(place.read_text("utf-8"))
        base, rank, alpha = found["base_model_name_or_path"], int(found["r"]), float(found["lora_alpha"])
        kind, bias = str(found.get("peft_type")), str(found.get("bias", "none"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise ModelError(
            f"{place}: is not an adapter's configuration ({type(fault).__name__}: {fault})"
        ) from fault
    if kind != "LORA" or bias != "none":
        raise ModelError(
            f"{place}: only LORA adapters without bias can be merged, not {kind} with bias {bias}"
        )
    extra = [name for name in UNKNOWN if found.get(name)]
    if extra:
        raise ModelError(
            f"{place}: {listed(extra)} is not supported; merge the adapter with PEFT and give the model"
        )
    if not isinstance(base, str) or not base or rank < 1:
        raise ModelError(f"{place}: names no base model or no rank")
    return {**found, "r": rank, "lora_alpha": alpha}


def merge(model: nn.Module, folder: Path) -> None:
    """Add scale · B A to the weights of the layers that the adapter names, in place.

    The sum is taken in float32 and rounded once to the weight's dtype. ModelError when a tensor's name or shape
    does not fit the model.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config, place = settings(folder), folder / WEIGHTS
    try:
        tensors = load_file(place)
    except (OSError, SafetensorError) as fault:
        raise ModelError(f"{place}: cannot be read: {fault}") from fault
    scale = config["lora_alpha"] / config["r"]
    layers = _pairs(tensors, place)
    with torch.no_grad():
        for name, (a, b) in layers.items():
            try:
                weight: Tensor = model.get_submodule(name).weight  # type: ignore[assignment]
            except AttributeError as fault:
                raise ModelError(f"{place}: the model has no layer {shown(name)}") from fault
            if weight.shape != (b.shape[0], a.shape[1]) or a.shape[0] != b.shape[1]:
                raise ModelError(
                    f"{place}: {name} is {tuple(b.shape)} times {tuple(a.shape)}, "
                    f"but the model's layer is {tuple(weight.shape)}"
                )
            weight.copy_(torch.addmm(weight.float(), b.float(), a.float(), alpha=scale))


def _pairs(tensors: dict[str, Tensor], place: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """A and B by layer; ModelError at a tensor that is neither or has no partner."""
    found: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, side = key.removeprefix(LEAD).removesuffix(".weight").rpartition(".lora_")
        if side not in ("A", "B") or not name or tensor.ndim != 2:
            raise ModelError(f"{place}: {shown(key)} is no matrix of a LoRA adapter")
        found.setdefault(name, {})[side] = tensor
    for name, sides in found.items():
        if len(sides) < 2:
            raise ModelError(f"{place}: {name} has only one of its two matrices")
    return {name: (sides["A"], sides["B"]) for name, sides in found.items()}

"""Where and in what number format a model computes."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from testbed.errors import UserError, did_you_mean, shown

if TYPE_CHECKING:
    import torch

DTYPES = {
    "float32": "float32",
    "fp32": "float32",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float16": "float16",
    "fp16": "float16",
}


def quiet_threads() -> None:
    """Let idle worker threads sleep instead of spin. Takes effect only before torch is first imported."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def set_threads(threads: int | None) -> int:
    """Fix the number of threads torch computes with (None leaves its choice) and return it."""
    import torch

    if threads is not None:
        if threads < 1:
            raise UserError(f"threads: {threads} is less than 1")
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def get_threads() -> int:
    """The number of threads torch computes with."""
    import torch

    return torch.get_num_threads()


def choose_device(spec: str = "auto") -> torch.device:
    """`auto` (CUDA, else Apple's Metal, else CPU), `cpu`, `mps`, `cuda` or `cuda:<number>`.

    UserError when the spelling is unknown or the machine has no such device.
    """
    import torch

    if spec == "auto":
        return torch.device(_present()[0])
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,3})?", spec):
        hint = (
            did_you_mean(spec, ("auto", "cpu", "cuda", "mps")) or "use auto, cpu, cuda, cuda:<number> or mps"
        )
        raise UserError(f"device: {shown(spec)} is unknown; {hint}")
    device = torch.device(spec)
    if device.type not in _present():
        raise UserError(f"device: {spec!r} is not there; this machine has {', '.join(_present())}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise UserError(f"device: {spec!r} is not there; the last one is 'cuda:{last}'")
    return device


def choose_dtype(spec: str, device: torch.device) -> torch.dtype:
    """`float32`, `bfloat16` or `float16` (also fp32, bf16, fp16), or `auto`.

    `auto` is bfloat16 where the hardware multiplies in it (CUDA since Ampere; CPUs with AVX512-BF16 or
    AMX-BF16) and float32 elsewhere. Never float16: models trained in bfloat16 overflow in it.
    """
    import torch

    if spec != "auto":
        if spec not in DTYPES:
            hint = did_you_mean(spec, ("auto", *DTYPES)) or "use auto, float32, bfloat16 or float16"
            raise UserError(f"dtype: {shown(spec)} is unknown; {hint}")
        dtype = getattr(torch, DTYPES[spec])
        assert isinstance(dtype, torch.dtype)
        return dtype
    return torch.bfloat16 if _multiplies_bfloat16(device.type) else torch.float32


def _present() -> list[str]:
    """Device types of this machine, fastest first."""
    import torch

    found = ["cuda"] if torch.cuda.is_available() else []
    found += ["mps"] if torch.backends.mps.is_available() else []
    return [*found, "cpu"]


def _multiplies_bfloat16(device_type: str) -> bool:
    import torch

    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device_type == "cpu" and bool(_cpu_flags() & {"avx512_bf16", "amx_bf16"})


def _cpu_flags() -> frozenset[str]:
    """Instruction sets of the CPU as torch or Linux names them; empty when neither tells."""
    import torch

    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        return frozenset(name for name, there in capabilities().items() if there is True)
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return frozenset(word for line in file if line.startswith("flags") for word in line.split())
    except OSError:
        return frozenset()

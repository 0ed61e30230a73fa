"""Device, dtype and threads."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from testbed.errors import UserError
from testbed.language import precision
from testbed.language.precision import choose_device, choose_dtype, set_threads

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")


def machine(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(2, True, "cuda"), (0, True, "mps"), (0, False, "cpu")]
)
def test_auto_takes_the_fastest_device(
    cuda: int, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, cuda=cuda, mps=mps)
    assert choose_device("auto") == torch.device(expected)
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cdua", "device: 'cdua' is unknown; did you mean 'cuda'?"),
        ("gpu", "device: 'gpu' is unknown; did you mean 'cpu'?"),
        ("tpu v4", "device: 'tpu v4' is unknown; use auto, cpu, cuda, cuda:<number> or mps"),
        ("cuda", "device: 'cuda' is not there; this machine has cpu"),
        ("mps", "device: 'mps' is not there; this machine has cpu"),
    ],
)
def test_bad_devices(spec: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch)
    with pytest.raises(UserError) as caught:
        choose_device(spec)
    assert str(caught.value) == message


def test_cuda_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cuda=2)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UserError, match="device: 'cuda:2' is not there; the last one is 'cuda:1'"):
        choose_device("cuda:2")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"avx512_bf16"}, torch.bfloat16),
        ({"amx_bf16", "avx2"}, torch.bfloat16),
        ({"avx512_f", "avx2"}, torch.float32),
        (set(), torch.float32),
    ],
)
def test_auto_dtype_on_the_cpu(
    flags: set[str], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_cpu_flags", lambda: frozenset(flags))
    assert choose_dtype("auto", CPU) == expected


def test_auto_dtype_on_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    for supported, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation, answer=supported: answer
        )
        assert choose_dtype("auto", CUDA) == expected
    assert choose_dtype("auto", MPS) == torch.float32


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("float32", torch.float32),
        ("bf16", torch.bfloat16),
        ("float16", torch.float16),
        ("fp16", torch.float16),
    ],
)
def test_named_dtypes(spec: str, expected: torch.dtype) -> None:
    assert choose_dtype(spec, CPU) == expected


def test_bad_dtypes() -> None:
    with pytest.raises(UserError) as caught:
        choose_dtype("bfloat61", CPU)
    assert str(caught.value) == "dtype: 'bfloat61' is unknown; did you mean 'bfloat16'?"
    with pytest.raises(UserError) as caught:
        choose_dtype("int8", CPU)
    assert str(caught.value) == "dtype: 'int8' is unknown; use auto, float32, bfloat16 or float16"


def test_cpu_flags_are_names() -> None:
    flags = precision._cpu_flags()
    assert all(isinstance(flag, str) for flag in flags)


def test_threads() -> None:
    before = torch.get_num_threads()
    try:
        assert set_threads(1) == 1
        assert torch.get_num_threads() == 1
        assert set_threads(None) == 1
    finally:
        torch.set_num_threads(before)
    with pytest.raises(UserError, match="threads: 0 is less than 1"):
        set_threads(0)


def test_quiet_threads_sets_a_default_and_imports_no_torch() -> None:
    program = (
        "import os, sys\n"
        "from testbed.language.precision import quiet_threads\n"
        "quiet_threads()\n"
        "print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)\n"
    )
    for given, expected in (({}, "PASSIVE False"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE False")):
        done = subprocess.run(
            [sys.executable, "-c", program], env=given, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == expected

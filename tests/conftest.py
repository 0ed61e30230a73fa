"""What all tests share: no network, one thread, and random examples that are the same everywhere."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is first imported

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "tests", max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "thorough", max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # HYPOTHESIS_PROFILE=thorough: other examples every time
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "tests"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Workers run side by side; more threads would only wait for each other."""
    import torch

    torch.set_num_threads(1)

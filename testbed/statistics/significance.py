"""Tests: sign flips of whole blocks, exact McNemar, Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_ENUMERATED = 14
"""Up to this many blocks all 2^k sign patterns are tried."""

DRAWN = 4095
"""Random sign patterns for more blocks than that."""


@dataclass(frozen=True, slots=True)
class TestResult:
    """Two-sided `p`, the smallest `p_min` that this many blocks or pairs could have given, and the test."""

    __test__ = False

    p: float
    p_min: float
    method: str


def sign_flip(effects: Sequence[float], rng: np.random.Generator) -> TestResult | None:
    """Are the mean effects of blocks centred at 0? Flips the sign of whole blocks; None without a block.

    Exact (all 2^k patterns) up to 14 blocks, else 4,095 random patterns and the observed one. With k blocks
    no p below 2 / 2^k can arise: 6 blocks → .031. Fisher 1935; assumes that, if there is no effect, each
    block's effect is symmetric about 0.
    """
    values = np.asarray(effects, dtype=np.float64)
    k = len(values)
    if k == 0 or np.isnan(values).any():
        return None
    observed = abs(values.sum())
    if k <= MOST_ENUMERATED:
        bits = np.arange(2**k)[:, None] >> np.arange(k) & 1
        sums = np.abs((2 * bits - 1) @ values)
        return TestResult(float(np.mean(sums >= observed - 1e-9)), 2 / 2**k, "sign-flip, exact")
    draws = DRAWN
    signs = rng.integers(0, 2, size=(draws, k), dtype=np.int8) * 2.0 - 1.0
    reached = int(np.count_nonzero(np.abs(signs @ values) >= observed - 1e-9))
    return TestResult((reached + 1) / (draws + 1), 1 / (draws + 1), "sign-flip, random")


def mcnemar(gained: int, lost: int) -> TestResult:
    """Exact McNemar test of paired binary outcomes from the discordant counts; p is 1 without any.

    McNemar 1947 in its exact binomial form. Takes the pairs for independent, so it is offered only where
    a cell is one target and one seed.
    """
    from scipy import special

    n = gained + lost
    if n == 0:
        return TestResult(1.0, 1.0, "mcnemar, exact")
    p = min(1.0, 2 * float(special.bdtr(min(gained, lost), n, 0.5)))
    return TestResult(p, min(1.0, 2 * 0.5**n), "mcnemar, exact")


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the given order (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for step, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - step) * p_values[index]))
        adjusted[index] = running
    return adjusted


def clopper_pearson(events: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a rate (Clopper & Pearson 1934); (0, 1) for n = 0."""
    from scipy import special

    if n == 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = 0.0 if events == 0 else float(special.betaincinv(events, n - events + 1, tail))
    high = 1.0 if events == n else float(special.betaincinv(events + 1, n - events, 1 - tail))
    return low, high

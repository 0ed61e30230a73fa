"""From what was measured to what was not: a power law, fitted to the largest sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FROM = 5_000_000
"""Tokens from which on the processor's caches no longer hide what memory costs."""


@dataclass(frozen=True)
class PowerLaw:
    """value = factor · size ** exponent. `error`: greatest relative error over the sizes it was fitted to."""

    factor: float
    exponent: float
    error: float

    def __call__(self, size: float) -> float:
        return float(self.factor * size**self.exponent)


def fitted(sizes: Sequence[float], values: Sequence[float]) -> PowerLaw | None:
    """Least squares of the logarithms over sizes from FROM on; None for fewer than three."""
    pairs = [(size, value) for size, value in zip(sizes, values, strict=True) if size >= FROM and value > 0]
    if len(pairs) < 3:
        return None
    x, y = np.log(np.array(pairs)).T
    exponent, constant = np.polyfit(x, y, 1)
    errors = np.abs(np.expm1(constant + exponent * x - y))
    return PowerLaw(float(np.exp(constant)), float(exponent), float(errors.max()))

"""One number out of losses on several situations."""

from __future__ import annotations

import numpy as np

DROPPED = 100.0
"""What a situation counts in which the target never reached the recommender: worse than any loss in nats."""


def mean_loss(losses: np.ndarray) -> np.ndarray:
    """Mean over situations: (candidates, situations) → (candidates,); `DROPPED` in place of inf."""
    mean: np.ndarray = np.where(np.isfinite(losses), losses, DROPPED).mean(axis=1)
    return mean

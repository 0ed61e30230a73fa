"""One number out of losses on several situations."""

from __future__ import annotations

import numpy as np

from testbed.slope import WORST

DROPPED = WORST
"""What a situation counts in which the target never reached the recommender: worse than any loss that occurs."""


def mean_loss(losses: np.ndarray) -> np.ndarray:
    """Mean over situations: (candidates, situations) → (candidates,); `DROPPED` in place of inf."""
    mean: np.ndarray = np.where(np.isfinite(losses), losses, DROPPED).mean(axis=1)
    return mean

"""Ranks that favour nobody: equal scores share the mean of their ranks."""

from __future__ import annotations

import numpy as np

LEVEL = 1e-6
"""Scores that differ by less are equal: sums of cosines in float32 do not tell them apart."""


def mid_rank(scores: np.ndarray, place: int) -> float:
    """Rank of one among all, from 1; a tie of two for the first rank is 1.5 for both."""
    return float(mid_ranks(scores[None], np.array([place]))[0])


def mid_ranks(scores: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Rank of a place in each row: (B, n), (B,) → (B,). Scores that are no numbers raise ValueError."""
    if np.isnan(scores).any():
        raise ValueError("scores that are no numbers have no ranks")
    mine = scores[np.arange(len(scores)), places][:, None]
    ahead = (scores > mine + LEVEL).sum(axis=1)
    level = (np.abs(scores - mine) <= LEVEL).sum(axis=1)
    found: np.ndarray = ahead + (level + 1) / 2
    return found

"""The best step of every user, chosen with the label, and what choosing among noise would give.

Two nulls: the step that is best on average and K noisy copies of it, and K + 1 noisy copies of the mean of the
steps. The second is what steps are that only differ by noise: they share no more than their mean, while copies
of a step share that step's own noise as well.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

RankOf = Callable[[Tensor], np.ndarray]
"""Ranks of the held-out items for some states: (M, d) → (M,)."""
HALVINGS = 8
LARGEST = 64.0


def scatter(ranks: np.ndarray) -> float:
    """How far a user's ranks are apart: standard deviation of ln(rank) over (K + 1, M), mean over users."""
    return float(np.log(ranks).std(0).mean())


def best(ranks: np.ndarray) -> np.ndarray:
    """The best rank of every user: (K + 1, M) → (M,)."""
    return ranks.min(0)


def copied(states: Tensor, centre: Tensor, scale: float, noise: Tensor, rank_of: RankOf) -> np.ndarray:
    """Ranks of K + 1 noisy copies of one state a user: (K + 1, M).

    `states`: (K + 1, M, d) of the steps. `centre`: (M, d), what is copied. `noise`: (K + 1, M, d), standard normal, or
    0 for a copy as it is. A user's noise is as large as his steps are apart (root mean square of a coordinate about
    their mean), times `scale`.
    """
    apart = (states - states.mean(0)).square().mean((0, 2)).sqrt()
    return np.stack([rank_of(centre + scale * apart[:, None] * one) for one in noise])


def scale_of(states: Tensor, ranks: np.ndarray, centre: Tensor, noise: Tensor, rank_of: RankOf) -> float:
    """Scale of the noise with which the copies' ranks are as far apart as the steps': equal `scatter`, by halving.

    `ranks`: (K + 1, M) of the steps.
    """
    wanted = scatter(ranks)

    def reached(scale: float) -> bool:
        return scatter(copied(states, centre, scale, noise, rank_of)) >= wanted

    if wanted < 1e-9:
        return 0.0
    low, high = 0.0, 1.0
    while not reached(high) and high < LARGEST:
        low, high = high, 2 * high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high

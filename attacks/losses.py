"""One number out of losses on several situations."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

import numpy as np

from testbed.protocols import Victim
from testbed.types import Intervention
from testbed.victim.slope import WORST

DROPPED = WORST
"""What a situation counts in which the target never reached the recommender: worse than any loss that occurs."""


def mean_loss(losses: np.ndarray) -> np.ndarray:
    """Mean over situations: (candidates, situations) → (candidates,); `DROPPED` in place of inf."""
    mean: np.ndarray = np.where(np.isfinite(losses), losses, DROPPED).mean(axis=1)
    return mean


def mean_rank_loss(ranks: Sequence[int | None]) -> float:
    """Mean over situations of 1 − exposure; exposure is 1 / log2(1 + rank), 0 when unlisted."""
    return sum(1 - (1 / log2(1 + rank) if rank else 0.0) for rank in ranks) / len(ranks)


def asked(victim: Victim, interventions: Sequence[Intervention], signal: str) -> list[float]:
    """Mean loss of each intervention over all situations: the objective under `scores`, 1 − exposure under `ranks`."""
    if not interventions:
        return []
    if signal == "scores":
        return [float(loss) for loss in mean_loss(victim.objective(interventions))]
    return [mean_rank_loss(ranks) for ranks in victim.ranks(interventions)]

"""Users in quarters: by the length of their history, and by how often their held-out item was chosen."""

from __future__ import annotations

import numpy as np

from retrievers.rearec.data import Fold, Split


def popularity(split: Split, fold: Fold) -> np.ndarray:
    """How often every held-out item is in what is learnt from: (M,)."""
    interactions = split.interactions
    owners = np.repeat(np.arange(len(interactions)), interactions.lengths)
    places = np.arange(len(interactions.rows)) - interactions.ptr[owners]
    learnt = interactions.rows[places < split.known[owners]]
    return np.bincount(learnt, minlength=len(interactions.items))[fold.targets]


def quarters(values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Whole numbers cut at their quartiles: label and (M,) true for the members of each group.

    Equal values stay together, so that groups may differ in size and there may be fewer than four.
    """
    cuts = np.unique(np.quantile(values, [0.25, 0.5, 0.75], method="inverted_cdf"))
    place = np.searchsorted(cuts, values)
    found = []
    for group in range(len(cuts) + 1):
        members = place == group
        if members.any():
            low, high = int(values[members].min()), int(values[members].max())
            found.append((f"{low}" if low == high else f"{low}–{high}", members))
    return found

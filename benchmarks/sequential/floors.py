"""What a next-item model has to beat, and neighbours with other weights of age."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from retrievers.rearec.data import Split
from retrievers.rearec.evaluation import Scorer
from retrievers.rearec.floors import DECAY, FLOORS, neighbours

DECAYS = (1.0, 0.5, 0.2)
"""Weight of an item next to the one after it, beside the default; 1 takes no notice of age."""
EVERY: Mapping[str, Callable[[Split], Scorer]] = {
    **{f"{name}, decay {DECAY:g}" if make is neighbours else name: make for name, make in FLOORS.items()},
    **{f"item-kNN, decay {decay:g}": partial(neighbours, decay=decay) for decay in DECAYS},
}
ORDER = (
    "popularity",
    "Markov",
    *(f"item-kNN, decay {decay:g}" for decay in sorted({DECAY, *DECAYS}, reverse=True)),
    "EASE",
)
"""As they stand in tables."""

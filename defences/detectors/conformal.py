"""Thresholds that honest listings pass with a stated probability only: split conformal quantiles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


def threshold(scores: Sequence[float], fpr: float) -> float:
    """The ⌈(n + 1)(1 − fpr)⌉-th smallest of n honest scores; inf where n is too small for the rate.

    A fresh score that is exchangeable with the n lies above it with probability `fpr` at most (Vovk et al. 2005;
    Papadopoulos et al. 2002).
    """
    place = math.ceil((len(scores) + 1) * (1 - fpr) - 1e-9)
    return (
        float(np.sort(np.asarray(scores, dtype=np.float64))[place - 1]) if place <= len(scores) else math.inf
    )


def needed(fpr: float) -> int:
    """Fewest honest scores with which `fpr` can be held: 99 for one in a hundred."""
    return math.ceil((1 - fpr) / fpr - 1e-9)


@dataclass(frozen=True)
class Group:
    """Honest scores of one catalog, (n,), and whose listing each is of."""

    owners: tuple[str, ...]
    scores: tuple[float, ...]

    def without(self, owner: str | None) -> tuple[float, ...]:
        """The scores of other items."""
        if owner is None or owner not in self._known:
            return self.scores
        return tuple(score for whose, score in zip(self.owners, self.scores, strict=True) if whose != owner)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.owners)


@dataclass(frozen=True)
class Calibration:
    """Thresholds at one rate from the honest scores of several catalogs; those of `own` are left out for their item.

    The threshold is the highest of the groups' own, so that the rate holds on each of them. A group that is too small
    for the rate counts with its largest score. Without a group that is large enough there is no threshold: inf.
    """

    fpr: float
    groups: Mapping[str, Group]
    own: str = "own"

    def of(self, item_id: str | None = None) -> float:
        """The threshold for a listing of an item: no score of the item itself has a part in it."""
        group = self.groups.get(self.own)
        if group is None or item_id not in group._known:
            return self._everyone
        return self._combined({**self.groups, self.own: Group((), group.without(item_id))})

    @cached_property
    def abroad(self) -> float:
        """The threshold without the scores of `own`."""
        return self._combined({name: group for name, group in self.groups.items() if name != self.own})

    def hider(self, item_id: str, score: float) -> str:
        """Whose score it is that keeps a listing from being flagged that passes `abroad`; '' where none does."""
        group = self.groups.get(self.own)
        if group is None or score <= self.abroad or score > (limit := self.of(item_id)):
            return ""
        pairs = zip(group.owners, group.scores, strict=True)
        return next((owner for owner, found in pairs if found == limit and owner != item_id), "")

    @property
    def enough(self) -> bool:
        """Whether some group is large enough for the rate."""
        return math.isfinite(self._everyone)

    @cached_property
    def spread(self) -> float:
        """How far honest scores lie apart: from the median to the threshold, at least a tenth."""
        scores = [score for group in self.groups.values() for score in group.scores]
        if not scores or not self.enough:
            return 1.0
        return max(self._everyone - float(np.median(scores)), 0.1)

    @cached_property
    def _everyone(self) -> float:
        return self._combined(self.groups)

    def _combined(self, groups: Mapping[str, Group]) -> float:
        found = {name: threshold(group.scores, self.fpr) for name, group in groups.items()}
        if not any(math.isfinite(value) for value in found.values()):
            return math.inf
        small = [
            max(groups[name].scores)
            for name, value in found.items()
            if math.isinf(value) and groups[name].scores
        ]
        return max([*small, *(value for value in found.values() if math.isfinite(value))])

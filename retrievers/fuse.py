"""Reciprocal rank fusion: one ranking out of several."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from testbed.protocols import Access, StagePlugin
from testbed.types import Listing, Slate

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.environment import Environment
    from testbed.protocols import Context


class Fuse(StagePlugin):
    """Join rankings by the sum of reciprocal ranks (Cormack, Clarke & Büttcher 2009)."""

    grants: ClassVar[Access] = Access.ranks
    counts_tokens: ClassVar[bool] = False
    inputs: ClassVar[tuple[int, int]] = (2, 1000)

    keep: int | None = Field(default=None, ge=1)
    """How many listings are kept; all of them when left out."""
    constant: float = Field(default=60.0, gt=0.0)
    """Added to every rank: how little the first ranks count above the later ones. 60 in the paper."""

    def build(self, catalog: Catalog, env: Environment) -> ReciprocalRankFusion:
        """The stage; it needs nothing of the catalog."""
        return ReciprocalRankFusion(self.constant, self.keep)


@dataclass(frozen=True, slots=True)
class ReciprocalRankFusion:
    """score(d) = Σ over rankings that list d: 1 / (constant + rank). Ties by item id."""

    constant: float = 60.0
    keep: int | None = None

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        """Join slates. A listing is handed on as the first slate that has it shows it."""
        scores: dict[str, float] = {}
        shown: dict[str, Listing] = {}
        for slate in inputs:
            for rank, listing in enumerate(slate, start=1):
                scores[listing.item_id] = scores.get(listing.item_id, 0.0) + 1.0 / (self.constant + rank)
                shown.setdefault(listing.item_id, listing)
        order = sorted(scores, key=lambda item_id: (-scores[item_id], item_id))[: self.keep]
        return Slate(tuple(replace(shown[item_id], score=scores[item_id]) for item_id in order))

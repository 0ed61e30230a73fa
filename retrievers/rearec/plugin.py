"""Options of the sequential recommender; the model is loaded when it is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from testbed.protocols import Access, CatalogPath, StagePlugin

if TYPE_CHECKING:
    from retrievers.rearec.stage import SequentialRecommender
    from testbed.catalog import Catalog
    from testbed.environment import Environment


class ReaRec(StagePlugin):
    """Rank listings by what comes next in the request's history (ReaRec: Tang et al. 2025, arXiv 2503.22675)."""

    grants: ClassVar[Access] = Access.gradients
    counts_tokens: ClassVar[bool] = False

    model: CatalogPath | None = None
    """A folder `seed-<number>` that `testbed train rearec` left. When left out, a small model of texts is taught on
    simulated sessions of the catalog, once, and kept in the cache."""
    k: int = Field(default=10, ge=1)
    """Most listings that are kept."""
    fields: tuple[str, ...] | None = None
    """Fields that are an item's text, in this order, for models that read texts; all when left out."""
    steps: int | None = Field(default=None, ge=0)
    """Reasoning steps; as many as the model was taught when left out."""
    halt: float | None = Field(default=None, ge=0)
    """Stop reasoning at the first step whose prediction is within so many nats of the one before."""

    repeats: bool = True
    """Whether items of the history are listed too; the figures of a training leave them out."""

    def build(self, catalog: Catalog, env: Environment) -> SequentialRecommender:
        """Load the model and its view of the catalog."""
        from retrievers.rearec.differentiable import TextRecommender
        from retrievers.rearec.stage import SequentialRecommender

        stage = SequentialRecommender.over(catalog, self, env)
        return stage if stage.encoder is None else TextRecommender(**vars(stage))

"""Options of the observer behind `goal_drift`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from testbed.protocols import CatalogPath, ObserverPlugin

if TYPE_CHECKING:
    from retrievers.goals.reached import Reach
    from testbed.catalog import Catalog
    from testbed.environment import Environment


class GoalReach(ObserverPlugin):
    """Tell how soon an answer leads to the target being bought, which the measure `goal_drift` reads.

    `goal_reach` is g = cos(B(reply), A("I'll take the <target>")). The reply is the recommender's own text where it
    wrote one. Otherwise it is what it is expected to say: "I recommend the <name>." of every listing, weighted by the
    softmax of the scores, or by 1 / log2(1 + rank) where there are none. No model is asked but the sentence encoder
    (CCL: Erker et al. 2022, arXiv 2211.07591).
    """

    tells: ClassVar[tuple[str, ...]] = ("goal_reach",)

    model: CatalogPath | None = None
    """A folder of heads, as of `use: goals`."""
    heads: bool = True
    """Whether there are heads, as of `use: goals`."""
    temperature: float = Field(default=1.0, gt=0)
    """Of the softmax of scores, in their unit."""

    def build(self, catalog: Catalog, env: Environment) -> Reach:
        """Load heads; what can be said of the catalog's names is encoded once."""
        from retrievers.goals.loaded import loaded
        from retrievers.goals.offers import Offers
        from retrievers.goals.reached import Reach

        encoder, heads = loaded(self.model, self.heads, Offers(catalog, tuple(catalog.columns)), env)
        return Reach(catalog, encoder, heads, self.temperature)

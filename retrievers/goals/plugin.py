"""Options of the goal planner; heads and encoder are loaded when it is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from testbed.protocols import Access, CatalogPath, StagePlugin

if TYPE_CHECKING:
    from retrievers.goals.stage import GoalPlanner
    from testbed.catalog import Catalog
    from testbed.environment import Environment


class Goals(StagePlugin):
    """Rank listings by how well each, said next, leads from the dialogue to the user's goal (CCL: Erker et al. 2022).

    A listing c scores cos(B_p(c), A(goal)), p the parity of `ahead`, plus `follows` times the mean over the turns u
    said so far of cos(B_p(u), A(c)) (arXiv 2211.07591, sections 3 and 4). Without a goal only the latter counts.
    """

    grants: ClassVar[Access] = Access.gradients
    counts_tokens: ClassVar[bool] = False

    model: CatalogPath | None = None
    """A folder `seed-<number>` that `testbed train goals` left. When left out, heads are taught on simulated dialogues,
    once, and kept in the cache."""
    heads: bool = True
    """Whether heads curve the encoder's space; without them its plain cosine ranks, the control."""
    k: int = Field(default=10, ge=1)
    """Most listings that are kept."""
    ahead: int = Field(default=1, ge=1, le=50)
    """Turns from a listing being said to the goal; odd ones are the user's."""
    follows: float = Field(default=2.0, ge=0)
    """Weight of how well a listing follows what was said, beside how well it leads to the goal."""
    plans: int = Field(default=3, ge=0, le=20)
    """Listings, best first, whose best path to the goal is told in the trace; 0 for none."""
    fields: tuple[str, ...] | None = None
    """Fields that are read out, in this order; all when left out."""

    def build(self, catalog: Catalog, env: Environment) -> GoalPlanner:
        """Load the heads and read every listing out once."""
        from retrievers.goals.stage import GoalPlanner

        return GoalPlanner.over(catalog, self, env)

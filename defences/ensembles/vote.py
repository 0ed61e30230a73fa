"""Order-shuffle voting: permutation self-consistency (Tang et al. 2023, arXiv 2310.07712)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from defences.change import Call, Change
from defences.options import Wrapper
from testbed.protocols import Context
from testbed.seeds import derive
from testbed.types import Slate

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.environment import Environment
    from testbed.protocols import Stage


class Vote(Wrapper):
    """Ask a stage under several presentation orders and elect one ranking (Tang et al. 2023, arXiv 2310.07712).

    The first order is the situation's own, so that one vote is the stage itself. Stages that do not depend on the order
    gain nothing. An attack meets the mean of its objective over the orders.
    """

    votes: int = Field(default=5, ge=1, le=100)
    """Orders, each a call of the stage."""
    method: Literal["kemeny", "borda"] = "kemeny"
    """The order that contradicts the fewest votes (beyond 9 listings a local optimum), or that of mean ranks."""

    @property
    def copies(self) -> int:
        """A call a vote."""
        return self.votes

    def build(self, catalog: Catalog, env: Environment) -> Stage:
        """The stage, asked under several orders."""
        from defences.through import through

        return through(self.over.build(catalog, env), Shuffled(self.votes, self.method))


@dataclass(frozen=True)
class Shuffled(Change):
    """The same slate in several orders; all of a gradient's orders count."""

    votes: int
    method: str
    straight = False

    def copies(self, context: Context, slate: Slate) -> list[Call]:
        """The situation's own order, then others that follow from it, with noise of their own."""
        return [(context, slate), *((self._other(context, vote), slate) for vote in range(1, self.votes))]

    def joined(self, context: Context, slate: Slate, answers: Sequence[Slate]) -> Slate:
        """The elected ranking."""
        from defences.ensembles.voting import elected

        return elected(slate, answers, self.method)

    def _other(self, context: Context, vote: int) -> Context:
        order = derive("vote", context.situation.order, vote)
        situation = replace(context.situation, order=order, slot=None)
        return replace(context, situation=situation, seed=derive("vote", context.seed, vote))

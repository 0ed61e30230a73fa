"""How soon an answer leads to the target being bought; the observer behind `goal_drift`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from testbed.protocols import CatalogPath, ObserverPlugin
from testbed.types import Slate

if TYPE_CHECKING:
    from retrievers.goals.model import CurvedHeads
    from retrievers.goals.scoring import Curvature
    from testbed.catalog import Catalog
    from testbed.environment import Environment
    from testbed.language.encoder import Encoder
    from testbed.protocols import Context

SAYS = "I recommend the {name}."
WANTS = "I'll take the {name}."


class GoalReach(ObserverPlugin):
    """g = cos(B(reply), A("I'll take the <target>")): tells `goal_reach`, which the measure `goal_drift` reads.

    The reply is the recommender's own text where it wrote one. Otherwise it is what it is expected to say: "I recommend
    the <name>." of every listing, weighted by the softmax of the scores, or by 1 / log2(1 + rank) where there are none.
    No model is asked but the sentence encoder (CCL: Erker et al. 2022, arXiv 2211.07591).
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

        encoder, heads = loaded(self.model, self.heads, Offers(catalog, tuple(catalog.columns)), env)
        return Reach(catalog, encoder, heads, self.temperature)


@dataclass(frozen=True)
class Reach:
    """Told of every answer about a target. `known`: views of texts that were met before."""

    catalog: Catalog
    encoder: Encoder
    heads: CurvedHeads
    temperature: float
    known: dict[str, Curvature] = field(default_factory=dict, compare=False)

    def __call__(self, context: Context, slate: Slate) -> Mapping[str, float]:
        """`goal_reach`; nothing without a target or an answer."""
        if context.target_id is None or not (len(slate) or slate.detail.get("reply")):
            return {}
        wanted = self._view(WANTS.format(name=self.catalog.name_of(context.target_id))).after[0]
        reply = slate.detail.get("reply")
        if isinstance(reply, str) and reply.strip():
            return {"goal_reach": float(self._view(reply).odd[0] @ wanted)}
        said = [self._view(SAYS.format(name=self.catalog.name_of(one))).odd[0] for one in slate.ids]
        return {"goal_reach": float(self._weights(slate) @ (np.stack(said) @ wanted))}

    def _weights(self, slate: Slate) -> np.ndarray:
        """How likely each listing is to be recommended, (n,), summing to 1."""
        scores = np.array([np.nan if one.score is None else one.score for one in slate], dtype=np.float64)
        if np.isnan(scores).any():
            weights = 1 / np.log2(2 + np.arange(len(scores)))
        else:
            weights = np.exp((scores - scores.max()) / self.temperature)
        return np.asarray(weights / weights.sum())

    def _view(self, text: str) -> Curvature:
        from retrievers.goals.scoring import Curvature

        if text not in self.known:
            self.known[text] = Curvature.of(self.encoder.encode([text]), self.heads)
        return self.known[text]

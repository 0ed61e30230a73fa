"""How soon an answer leads to the target being bought."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from retrievers.goals.model import CurvedHeads
from retrievers.goals.scoring import Curvature
from testbed.types import Slate

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.language.encoder import Encoder
    from testbed.protocols import Context

SAYS = "I recommend the {name}."
WANTS = "I'll take the {name}."


@dataclass(frozen=True)
class Reach:
    """Told of every answer about a target. `known`: views of what can be said of names."""

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
            said_so = Curvature.of(self.encoder.encode([reply]), self.heads).odd[0]
            return {"goal_reach": float(said_so @ wanted)}
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
        if text not in self.known:
            self.known[text] = Curvature.of(self.encoder.encode([text]), self.heads)
        return self.known[text]

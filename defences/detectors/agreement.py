"""Cross-model agreement: what one stage ranks far above where another one does (transfer is seldom perfect)."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from defences.detectors.judged import Judge
from testbed.protocols import Priced, StagePlugin
from testbed.types import Slate, Usage

if TYPE_CHECKING:
    from defences.detectors.judged import Scores
    from testbed.catalog import Catalog
    from testbed.environment import Environment
    from testbed.protocols import Context


class Agreement(Judge):
    """Flag listings that the stage ranks much better than a second stage does, which an attack seldom fools as well.

    The score is the difference of the ranks as a share of the slate, from −1 to 1. Stages that agree little on honest
    listings leave the detector no power.
    """

    other: StagePlugin
    """The second stage. It should keep all listings: `k` of a retriever has to be large."""

    @property
    def counts_tokens(self) -> bool:  # type: ignore[override]
        """Whether one of the two does."""
        return self.over.counts_tokens or self.other.counts_tokens

    def helper(self, catalog: Catalog, env: Environment) -> Any:
        """The second stage."""
        return self.other.build(catalog, env)

    def cost(self, stage: Any, aid: Any, context: Context, slate: Slate) -> int:
        """The second stage's ranking."""
        return aid.price(context, slate) if isinstance(aid, Priced) else 0

    def suspicion(
        self, stage: Any, aid: Any, context: Context, slate: Slate, answer: Slate, wanted: Collection[str]
    ) -> tuple[Scores, Usage]:
        """How many places, as a share, each listing stands better than under the second stage."""
        other = aid(context, slate)
        last, width = len(slate) - 1, max(1, len(slate) - 1)
        theirs = {item_id: place for place, item_id in enumerate(other.ids)}
        found = {
            item_id: (theirs.get(item_id, last) - place) / width
            for place, item_id in enumerate(answer.ids)
            if item_id in wanted
        }
        return found, other.usage

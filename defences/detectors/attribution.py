"""Leave one field out: a rank that hangs on a single field is suspicious (after Li et al. 2016, arXiv 1612.08220)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from defences.detectors.judged import Judge
from testbed.protocols import Priced
from testbed.types import Slate, Usage

if TYPE_CHECKING:
    from defences.detectors.judged import Scores
    from testbed.protocols import Context


class Attribution(Judge):
    """Mask one field after the other of the best listings and flag those whose rank hangs on one of them.

    The score is the largest fall in rank by masking a field, as a share of the slate. Costs a ranking a field for
    each of the `top` listings; others are not looked at. An honest rank may hang on a field too, its price for one.
    """

    top: int = Field(default=2, ge=1)
    """Best ranked listings that are looked at."""
    fields: tuple[str, ...] | None = None
    """Fields that are masked; all but the name when left out."""

    def helper(self, catalog: Any, env: Any) -> str:
        """The field of the name, which is never masked."""
        return str(catalog.name_field)

    def cost(self, stage: Any, aid: Any, context: Context, slate: Slate) -> int:
        """A ranking for every field of the listings that are looked at."""
        if not isinstance(stage, Priced):
            return 0
        fields = max((len(listing.fields) for listing in slate.listings), default=0)
        return self.top * fields * stage.price(context, slate)

    def suspicion(
        self, stage: Any, aid: Any, context: Context, slate: Slate, answer: Slate, wanted: Collection[str]
    ) -> tuple[Scores, Usage]:
        """Largest fall in rank of each of the best listings, from 0 to 1."""
        listings = tuple(slate.listings)
        calls, owners = [], []
        for item_id in list(answer.ids)[: self.top]:
            place = next(at for at, one in enumerate(listings) if one.item_id == item_id)
            for name in listings[place].fields if item_id in wanted else ():
                if name != aid and (self.fields is None or name in self.fields):
                    rest = {key: text for key, text in listings[place].fields.items() if key != name}
                    masked = (
                        *listings[:place],
                        replace(listings[place], fields=rest),
                        *listings[place + 1 :],
                    )
                    calls.append((context, (Slate(masked),)))
                    owners.append(item_id)
        answers = (
            stage.many(calls) if hasattr(stage, "many") else [stage(one, *inputs) for one, inputs in calls]
        )
        usage = sum((one.usage for one in answers), Usage())
        found: dict[str, float] = {item_id: 0.0 for item_id in answer.ids if item_id in wanted}
        for item_id, one in zip(owners, answers, strict=True):
            before = answer.rank_of(item_id) or 0
            fall = ((one.rank_of(item_id) or len(listings)) - before) / max(1, len(listings) - 1)
            found[item_id] = max(found[item_id], fall)
        return found, usage

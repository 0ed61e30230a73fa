"""A detector around a stage: what it flags is not ranked, and the way past it has a slope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from defences.change import Call, Change
from defences.through import Through, through
from testbed.types import Slate
from testbed.victim.slope import BEST, WORST, squashed

if TYPE_CHECKING:
    from defences.detectors.screen import Screen
    from testbed.protocols import Context, Probe, Stage


class Guard(Change):
    """Shows the stage what the screen lets through. Demoted listings stand behind those that the stage ranked.

    A flagged target has a loss between 500 and 1,000, as where a stage before the last one dropped it
    (`testbed.victim.slope`): the closer to the threshold, the lower.
    """

    def __init__(self, screen: Screen) -> None:
        self.screen = screen

    def copies(self, context: Context, slate: Slate) -> list[Call]:
        """The slate without what is flagged; stripped listings stay."""
        said, _ = self.screen.read(slate.listings, context.memo)
        over = self.screen.above(slate.listings, said)
        if not any(over):
            return [(context, slate)]
        if self.screen.options.action == "strip":
            kept = self.screen.acted(slate.listings, over, context.memo)
        else:
            kept = [listing for listing, above in zip(slate.listings, over, strict=True) if not above]
        return [(context, Slate(tuple(kept)))]

    def price(self, context: Context, slate: Slate) -> int:
        """What the detector reads."""
        return self.screen.cost(slate)

    def joined(self, context: Context, slate: Slate, answers: Sequence[Slate]) -> Slate:
        """The stage's ranking, listings as they came, and behind it what was demoted."""
        (answer,) = answers
        said, usage = self.screen.read(slate.listings, context.memo)
        over = self.screen.above(slate.listings, said)
        flagged = [one for one, above in zip(slate.listings, over, strict=True) if above]
        if not flagged:
            return replace(answer, usage=answer.usage + usage)
        came = {listing.item_id: listing for listing in flagged}
        ranked = [
            replace(came[one.item_id], score=one.score) if one.item_id in came else one
            for one in answer.listings
        ]
        if self.screen.options.action == "demote":
            ranked += [replace(listing, score=None) for listing in flagged]
        names = [listing.item_id for listing in flagged]
        note = "; ".join(filter(None, (answer.note, f"flagged: {', '.join(names)}")))
        detail = {**answer.detail, "flagged": names}
        return replace(answer, listings=tuple(ranked), usage=answer.usage + usage, note=note, detail=detail)

    def settled(self, probe: Probe, losses: np.ndarray) -> np.ndarray:
        """The stage's losses, and the screen's where it flagged the target."""
        found = losses.copy()
        for index, slate in enumerate(probe.slates):
            target = self.screen.target(probe.context, slate)
            if target is not None:
                (said,), _ = self.screen.read([target], probe.context.memo)
                far = self.screen.distance(target.item_id, said)
                if far > 0:
                    found[index] = BEST + (WORST - BEST) * squashed(far)
        return found


def guarded(stage: Stage, screen: Screen) -> Through:
    """A stage with a detector around it; `verdicts` are the detector's."""
    made = through(stage, Guard(screen))
    made.verdicts = screen.verdicts  # type: ignore[attr-defined]
    return made

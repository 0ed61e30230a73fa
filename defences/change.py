"""What a defence does to the questions that a stage is asked, and to its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from testbed.protocols import Context, Probe
from testbed.types import Intervention, Slate

if TYPE_CHECKING:
    import numpy as np

Call = tuple[Context, Slate]


class Change:
    """What a defence does to a question and to the answers. By default nothing."""

    straight: bool = True
    """Whether a gradient passes by the change; otherwise it is the mean over the changed questions."""

    reindexed: bool = False
    """Whether the change depends on the whole catalog, so that edits change it (`with_edits`)."""

    def with_edits(self, intervention: Intervention) -> Change:
        """The change as if made for the edited catalog."""
        return self

    def copies(self, context: Context, slate: Slate) -> list[Call]:
        """The questions that are asked instead of one; their contexts do not depend on the slate."""
        return [(context, slate)]

    def price(self, context: Context, slate: Slate) -> int:
        """Tokens that the change itself takes."""
        return 0

    def joined(self, context: Context, slate: Slate, answers: Sequence[Slate]) -> Slate:
        """One ranking of the slate, from the answers to its copies."""
        return answers[0]

    def settled(self, probe: Probe, losses: np.ndarray) -> np.ndarray:
        """Losses of a probe's variants, (variants,), from their means over the copies."""
        return losses

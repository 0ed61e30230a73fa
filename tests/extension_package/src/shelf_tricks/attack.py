"""An attack that writes less and less and keeps what ranks best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from testbed.protocols import Access, AttackPlugin, Step, Victim
from testbed.types import Target

if TYPE_CHECKING:
    import numpy as np


class CutShort(AttackPlugin):
    """Replace the field by shorter and shorter starts of it."""

    access: ClassVar[Access] = Access.ranks

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        """One step a length; the objective is the mean rank."""
        target = targets[0]
        words = victim.listing(target.item_id).get(target.field, "").split() or ["x"]
        for count in range(len(words), 0, -1):
            edit = target.edit(" ".join(words[:count]))
            (ranks,) = victim.ranks([edit])
            yield Step(edit, sum(rank or 99 for rank in ranks) / len(ranks))

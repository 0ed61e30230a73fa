"""A text given beforehand, for instance one that another run found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from testbed.protocols import Access, AttackPlugin, Step, Victim
from testbed.types import Target

if TYPE_CHECKING:
    import numpy as np


class FixedText(AttackPlugin):
    """Write a given text into the listing; nothing is searched."""

    access: ClassVar[Access] = Access.none

    text: str
    """`{name}` stands for the target's name."""

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        yield Step(targets[0].edit(self.text.replace("{name}", victim.name(targets[0].item_id))))

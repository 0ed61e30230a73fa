"""Options and ways of searches that let the victim's own model write, one token after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from attacks.words import Banned
from testbed.protocols import Access, AttackPlugin, Continuation, Sampling, Victim
from testbed.types import Situation, Target
from testbed.warm import Initial

if TYPE_CHECKING:
    import numpy as np


class WritingAttack(AttackPlugin):
    """Options of searches over a model's own text; the last stage has to propose it (`Proposing`)."""

    access: ClassVar[Access] = Access.scores

    tokens: int = Field(default=20, ge=1, le=500)
    """Length of the full text in the victim's tokens, what `initial` gives included."""
    temperature: float = Field(default=1.0, ge=0, le=10)
    """Of the draw; lower is more fluent, 0 takes the likeliest tokens."""
    top_k: int | None = Field(default=None, ge=1)
    """Draw from so many likeliest tokens only."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Draw from the likeliest tokens only that together have this probability."""
    initial: Initial = ""
    """A text to go on from. `{name}` is the target's name. `{run: PATH}` is the one that an earlier run found for the
    same target; `seed: N` beside it says of which attack seed."""
    ascii_only: bool = True
    """Whether the text is ASCII only."""
    banned_words: Banned = ()
    """Words that must not appear in the text, ignoring case."""

    def stem(self, target: Target, victim: Victim) -> str:
        """The text to go on from; ValueError where it may not be written."""
        from attacks.warm import initial_text
        from attacks.words import check_start

        text = initial_text(self.initial, target)
        if isinstance(self.initial, str):
            text = text.replace("{name}", victim.name(target.item_id))
        return check_start(text, self.ascii_only, self.banned_words)

    def drawn(
        self,
        texts: Sequence[str],
        count: int,
        target: Target,
        victim: Victim,
        situation: Situation,
        rng: np.random.Generator,
    ) -> list[list[Continuation]]:
        """Up to `count` texts a text that are one token longer and no longer than `tokens`; a query a text."""
        from attacks.words import acceptable

        found = victim.continuations(
            [target.edit(text) for text in texts],
            count,
            int(rng.integers(2**63)),
            situation=situation,
            sampling=Sampling(
                self.temperature, self.top_k, self.top_p, acceptable(self.ascii_only, self.banned_words)
            ),
        )
        return [[one for one in row if one.tokens <= self.tokens] for row in found]

"""Random search on scores or ranks, without any view into the model (Andriushchenko et al. 2024, arXiv 2404.02151)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from testbed.protocols import Access, AttackPlugin, Step, Victim
from testbed.types import Target
from testbed.warm import Initial

if TYPE_CHECKING:
    import numpy as np


class RandomSearch(AttackPlugin):
    """Change words at random and keep what ranks (or scores) better.

    Words come from the requests that the attacker may use, the listing itself and `words`. Under
    `signal: ranks` the loss is the mean of 1 − exposure, exposure = 1 / log2(1 + rank), 0 when unlisted.
    """

    length: int = Field(default=12, ge=1)
    """Words in the text."""
    initial: Initial = ""
    """A text to start from instead of random words, whatever its length. `{run: PATH}` is the one that an earlier
    run found for the same target; `seed: N` beside it says of which attack seed."""
    width: int = Field(default=8, ge=1)
    """Candidates a step."""
    signal: Literal["ranks", "scores"] = "ranks"
    """What is asked of the victim; `scores` needs that access."""
    words: tuple[str, ...] = ("best", "recommended", "top", "first", "choice", "perfect", "ideal", "1.")
    """Further words to draw from."""

    @property
    def access(self) -> Access:  # type: ignore[override]
        """What the signal needs."""
        return Access.scores if self.signal == "scores" else Access.ranks

    def queries_per_step(self, situations: int) -> int:
        """Every candidate on every situation."""
        return self.width * situations

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        from attacks.losses import asked
        from attacks.warm import initial_text
        from attacks.words import vocabulary

        target = targets[0]
        pool = vocabulary(target, victim, self.words, ("listing", "requests"))
        current = initial_text(self.initial, target).split() or [
            pool[index] for index in rng.integers(len(pool), size=self.length)
        ]
        best = asked(victim, [target.edit(" ".join(current))], self.signal)[0]
        yield Step(target.edit(" ".join(current)), best)
        while True:
            drafts = [self._mutated(current, pool, rng) for _ in range(self.width)]
            losses = asked(victim, [target.edit(" ".join(draft)) for draft in drafts], self.signal)
            winner = min(range(len(drafts)), key=losses.__getitem__)
            if losses[winner] <= best:
                current, best = drafts[winner], losses[winner]
            yield Step(target.edit(" ".join(current)), best)

    def _mutated(self, words: Sequence[str], pool: Sequence[str], rng: np.random.Generator) -> list[str]:
        changed = list(words)
        for position in rng.choice(
            len(changed), size=int(rng.integers(1, 3)) if len(changed) > 1 else 1, replace=False
        ):
            changed[position] = pool[int(rng.integers(len(pool)))]
        return changed

"""The best undetected attack: any search, in a world in which a text that is detected has lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from pydantic import Field

from testbed.errors import UserError
from testbed.protocols import Access, AttackPlugin, Step, Victim
from testbed.types import Target

if TYPE_CHECKING:
    import numpy as np

    from attacks.hidden import Hidden


class Undetected(AttackPlugin):
    """Let another search run and keep only texts that pass every detector: those of the stack and those named here.

    A text is detected by the stack when a stage drops the listing for it in a situation in which the clean listing
    is let through; the objective, or the rank, tells. To the search such a text is worse than any other, so that it
    looks on elsewhere instead of giving up. Detectors named here need no query: a text that they find is never sent.
    What is yielded has passed all of them in all situations; before there is such a text it is the clean listing.
    """

    over: AttackPlugin
    """The search, for instance `{use: beam_search, tokens: 12}`."""
    odd_words: float | None = Field(default=None, ge=0, lt=1)
    """Largest share of words that stand in no listing and no request (numbers apart); no limit when left out."""
    nll: float | None = Field(default=None, gt=0)
    """Largest mean negative log-likelihood of what the model wrote, nats per token, as a perplexity filter has it.
    Only over searches that let the model write: `beam_search`, `tree_search`, `rejection`."""

    @property
    def access(self) -> Access:  # type: ignore[override]
        """What the search needs."""
        return self.over.access

    @property
    def inserts(self) -> int:
        """As the search."""
        return self.over.inserts

    def queries_per_step(self, situations: int) -> int | None:
        """The search, and one look at a text that it has not seen in all situations."""
        inner = self.over.queries_per_step(situations)
        return None if inner is None else inner + (situations if self.access > Access.none else 0)

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        from attacks.hidden import Hidden, Stuck

        hidden = Hidden(victim, self.access, self.odd_words, self.nll)
        kept = Step((), hidden.clean())
        yield kept
        try:
            for turn, step in enumerate(self.over(targets, cast("Victim", hidden), rng)):
                self._check(hidden, turn)
                if not hidden.detected(step.intervention):
                    kept = step
                yield kept
        except Stuck:
            return

    def _check(self, hidden: Hidden, turn: int) -> None:
        if self.nll is not None and turn > 1 and not hidden.written:
            raise UserError(
                "nll: this search never lets the model write, so that nothing is known of its text's likelihood; "
                "take beam_search, tree_search or rejection, or a stage that detects"
            )

"""N-gram stuffing: write what a retriever is going to look for (keyword stuffing against generative retrieval)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from attacks.words import Banned
from testbed.protocols import Access, AttackPlugin, Step, Victim
from testbed.types import Target
from testbed.warm import Initial

if TYPE_CHECKING:
    import numpy as np

    from attacks.coverage import Demand


class NgramStuffing(AttackPlugin):
    """Insert the n-grams that a retriever looks for on the requests, as many of the heaviest as there is room for.

    The retriever is asked once for each request what it looks for. The pieces are chosen greedily over all requests,
    each of which counts the same, and pieces that share words are written into each other. Two texts grow, one by the
    weight that a piece adds for each of its words, one by the weight alone; every step is scored in all situations.
    A stage that the attacker sees has to tell what it looks for (`Seeking`: `seal`, `bm25`).
    """

    access: ClassVar[Access] = Access.scores

    length: int = Field(default=12, ge=1)
    """Most words in the text, those of `initial` included."""
    initial: Initial = ""
    """A text to which n-grams are added, for instance one that wins at a later stage. `{name}` is the target's name.
    `{run: PATH}` is the one that an earlier run found for the same target; `seed: N` beside it says of which attack
    seed."""
    unseen: bool = True
    """Whether n-grams are written that no listing holds yet but that would be generated if one did."""
    pieces: int = Field(default=64, ge=1)
    """N-grams of each request that are considered, the heaviest first."""
    ascii_only: bool = True
    """Whether the text is ASCII only."""
    banned_words: Banned = ()
    """Words that must not appear in the text, ignoring case."""

    def queries_per_step(self, situations: int) -> int:
        """Every text in every situation, and at most as many questions for what is looked for."""
        return 2 * situations

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        from attacks.coverage import texts
        from attacks.losses import mean_loss
        from attacks.warm import initial_text
        from attacks.words import acceptable, check_start

        target = targets[0]
        begin = initial_text(self.initial, target)
        if isinstance(self.initial, str):
            begin = begin.replace("{name}", victim.name(target.item_id))
        start = tuple(check_start(begin, self.ascii_only, self.banned_words).split())
        demands = self._demands(victim)
        accept = acceptable(self.ascii_only, self.banned_words)
        scored: set[str] = set()
        for by in ("rate", "gain"):
            for words in (start, *texts(demands, self.length, by, start, accept)):
                text = " ".join(words)
                if text not in scored:
                    scored.add(text)
                    yield Step(target.edit(text), float(mean_loss(victim.objective([target.edit(text)]))[0]))

    def _demands(self, victim: Victim) -> list[Demand]:
        """What is looked for on each request, by each stage that tells; the heaviest piece of all weighs 1."""
        from attacks.coverage import Demand

        asked = {situation.request: situation for situation in reversed(victim.situations)}
        demands = []
        for rows in victim.sought((), list(reversed(asked.values()))).values():
            for found in rows:
                chosen = [piece for piece in found.pieces if piece.known or self.unseen][: self.pieces]
                heaviest = max((piece.weight for piece in chosen), default=1.0)
                weighed = tuple((tuple(piece.text.split()), piece.weight / heaviest) for piece in chosen)
                demands.append(Demand(weighed, found.summed))
        return demands

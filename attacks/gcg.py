"""Greedy coordinate gradient on text (Zou et al. 2023, arXiv 2307.15043), over several orders, requests and models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from attacks.funnel import FunnelOptions
from attacks.words import Banned
from testbed.protocols import Access, Step, Surface, Victim
from testbed.types import Target
from testbed.warm import Initial

if TYPE_CHECKING:
    import numpy as np

    from attacks.scored import Scored


NEUTRAL = ("x", "the", "!", "and")


class GCG(FunnelOptions):
    """Swap the tokens that the gradient points at and keep the best text (Zou et al. 2023; Kumar & Lakkaraju 2024).

    Works on text: a candidate that is not the same tokens once rendered in place is never scored. Each step
    takes the gradient on `gradient_situations` situations and brings its candidates through a funnel: cheap
    losses of all on `screen_situations` of them, exact ones of the best, all situations for the `finalists`. The
    steps yielded carry the exact mean objective over all situations. Against several models at once, their
    gradients take turns, each in its own tokens, and every text is scored on all.
    """

    access: ClassVar[Access] = Access.gradients

    tokens: int = Field(default=20, ge=1, le=500)
    """Length of the text in the victim's tokens.

    Against several models, in those of the first."""
    top_k: int = Field(default=128, ge=1)
    """Tokens to draw from per position."""
    swaps: int = Field(default=1, ge=1)
    """Most positions changed in a candidate, in the first step; falls to one over `anneal` steps."""
    anneal: int = Field(default=10, ge=1)
    """Steps until candidates differ in one position."""
    buffer: int = Field(default=0, ge=0)
    """How many of the best texts so far are kept; a step goes on from the best of them. 0: from the
    last step's winner, be it better or worse (plain GCG)."""
    merge: bool = True
    """Whether the finalists are the best swap and its unions with the next best 1, 3, 7, ... swaps at other
    positions (Jia et al. 2024, arXiv 2405.21018) instead of the best single swaps."""
    gradient_situations: int = Field(default=1, ge=1)
    """Situations a gradient is averaged over; they take turns."""
    phrases: tuple[str, ...] = ("{answer}",)
    """Phrases that one candidate in five writes into the text whole, because swaps of single tokens find them
    late or never. `{name}` is the target's name, `{answer}` how the wanted answer begins. One that
    `ascii_only` or `banned_words` forbid is left out. None is plain GCG."""
    initial: Initial = "*"
    """Repeated to fill the length, or a whole text to start from. Where it does not survive in place, neutral
    words are tried in its stead. `{run: PATH}` starts from the text that an earlier run found for the same
    target, at that text's own length; `seed: N` beside it says of which attack seed."""
    ascii_only: bool = True
    """Whether the text is ASCII only."""
    banned_words: Banned = ()
    """Words that must not appear in the text, ignoring case."""

    def queries_per_step(self, situations: int) -> int:
        """Gradients and the funnel."""
        return min(self.gradient_situations, situations) + self.queries_for(situations)

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        from attacks.funnel import Funnel
        from attacks.losses import mean_loss
        from attacks.proposer import Proposer
        from attacks.scored import Scored, in_turn, scored
        from attacks.warm import initial_text
        from attacks.words import check_start

        target = targets[0]
        surfaces = victim.surfaces()
        proposers = {
            stage: Proposer.of(self, surface, list(surfaces.values()), victim.name(target.item_id))
            for stage, surface in surfaces.items()
        }
        if isinstance(self.initial, str):
            text = start(next(iter(surfaces.values())), self.initial, self.tokens)
        else:
            text = initial_text(self.initial, target, surfaces.values())
        check_start(text, self.ascii_only, self.banned_words)
        (current,) = scored(victim, target, [text])
        pool = [current]
        funnel = Funnel(self, victim, target)
        turn = 0
        while current.reached:
            yield Step(target.edit(current.text), current.mean)
            some = in_turn(victim.situations, current.losses, turn, self.gradient_situations)
            screen = in_turn(victim.situations, current.losses, turn, self.screen_situations)
            names = list(proposers)
            for stage in (*names[turn % len(names) :], *names[: turn % len(names)]):
                # A stage before which the target was dropped shows no gradient.
                gradient = victim.gradients(target.edit(current.text), some, stages=[stage]).get(stage)
                if gradient is not None:
                    break
            else:
                return
            turn += 1
            swaps = annealed(self.swaps, self.anneal, turn)
            candidates = proposers[stage].draw(gradient, swaps, rng)
            if not candidates:
                return
            if len(candidates) > self.finalists:
                texts = [one.text for one in candidates]
                order, better = funnel.rank(
                    current.text, texts, screen, rng, current.on(screen, victim.situations)
                )
                ranked = [candidates[index] for index in order]
                unions = proposers[stage].unions(gradient.token_ids, ranked[:better]) if self.merge else []
                candidates = unions or ranked[: self.finalists]
            best, losses = funnel.race([one.text for one in candidates], turn)
            found = Scored(candidates[best].text, losses, float(mean_loss(losses[None])[0]))
            pool = kept(found, pool, self.buffer)
            current = pool[0]


def start(surface: Surface, initial: str, tokens: int) -> str:
    """A text of `tokens` tokens to begin with: `initial` itself when it has them, else repeated.

    It is repeated as often as there are tokens, or less often where each takes several or the blank in front
    is a token of its own. Where that never survives, neutral words are repeated. ValueError when those do not
    survive either, for instance because the field is cut before the text.
    """
    counts = range(tokens, 0, -1)
    for word in (initial, *NEUTRAL):
        texts = [word, *(joint.join([word] * count) for joint in (" ", "") for count in counts)]
        for text, ids in zip(texts, surface.encode(texts), strict=True):
            if ids is not None and len(ids) == tokens:
                return text
    raise ValueError(
        f"no text of {tokens} tokens survives in this field: is it cut (field_limit), or too many tokens asked for?"
    )


def annealed(most: int, steps: int, step: int) -> int:
    """Positions to change at a step (from 1): `most` at first, falling evenly to one after `steps` steps."""
    return max(1, round(most - (most - 1) * min(1.0, (step - 1) / steps)))


def kept(found: Scored, pool: Sequence[Scored], size: int) -> list[Scored]:
    """The texts that a search keeps, best first: the one found, or with a buffer the best `size` so far."""
    if not size:
        return [found]
    others = [one for one in pool if one.text != found.text]
    return sorted([*others, found], key=lambda one: one.mean)[:size]

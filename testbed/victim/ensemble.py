"""Several stacks as one victim: what an attacker sees who searches one text on many models at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np

from testbed.protocols import Access, Continuation, Objective, Sampling, Sought, Surface, TokenGradient
from testbed.stack import Stack
from testbed.types import Intervention, Request, Situation, Target
from testbed.victim.meter import Meter
from testbed.victim.single import StackVictim


class EnsembleVictim:
    """Stacks over one catalog behind one access level and one budget; an objective is the mean over them.

    A query on each stack is a query. A call is refused before any stack computes when all of them together
    would overdraw the budget. ValueError when the victims do not share their meter.
    """

    def __init__(self, victims: Sequence[StackVictim]) -> None:
        if not victims:
            raise ValueError("an ensemble needs a victim")
        if any(victim.meter is not victims[0].meter for victim in victims):
            raise ValueError("the victims of an ensemble share one meter")
        self.victims = tuple(victims)
        self.names = unique(victim.stage for victim in victims)
        self.meter = victims[0].meter
        self.situations = victims[0].situations

    @property
    def access(self) -> Access:
        """The level that is granted."""
        return self.victims[0].access

    @property
    def remaining(self) -> Mapping[str, float]:
        """What is left of each limited unit, for all stacks together."""
        return self.meter.remaining()

    @property
    def max_tokens(self) -> int | None:
        """Longest text that may be written; None for no limit."""
        return self.victims[0].max_tokens

    @property
    def items(self) -> Sequence[str]:
        """Ids of all listings, in the catalog's order."""
        return self.victims[0].items

    @property
    def history(self) -> int:
        """Most items that may be put into histories."""
        return self.victims[0].history

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """The last stage of every stack; they stand side by side."""
        return (self.names,)

    def request(self, situation: Situation) -> Request:
        """The request of a situation."""
        return self.victims[0].request(situation)

    def listing(self, item_id: str) -> Mapping[str, str]:
        """The public fields of a listing, as the catalog has them."""
        return self.victims[0].listing(item_id)

    def name(self, item_id: str) -> str:
        """The name of a listing."""
        return self.victims[0].name(item_id)

    def ranks(
        self, interventions: Sequence[Intervention], situations: Sequence[Situation] | None = None
    ) -> list[list[int | None]]:
        """Worst rank of the first target over the stacks, per (intervention, situation); None is the worst."""
        self._afford(Access.ranks, interventions, situations)
        found = [victim.ranks(interventions, situations) for victim in self.victims]
        return [[_worst(ranks) for ranks in zip(*rows, strict=True)] for rows in zip(*found, strict=True)]

    def objective(
        self, interventions: Sequence[Intervention], situations: Sequence[Situation] | None = None
    ) -> np.ndarray:
        """Mean objective over the stacks, (interventions, situations); inf where one of them dropped the target."""
        self._afford(Access.scores, interventions, situations)
        return self._mean(lambda victim: victim.objective(interventions, situations))

    def screen(
        self,
        interventions: Sequence[Intervention],
        base: Intervention,
        situations: Sequence[Situation] | None = None,
        *,
        recompute: int | None = 8,
    ) -> np.ndarray:
        """`objective`, approximately, each stack in its own way; exact where a stack knows no better."""
        self._afford(Access.scores, interventions, situations, base)
        return self._mean(lambda victim: victim.screen(interventions, base, situations, recompute=recompute))

    def gradients(
        self,
        intervention: Intervention,
        situations: Sequence[Situation] | None = None,
        *,
        stages: Collection[str] | None = None,
    ) -> dict[str, TokenGradient]:
        """Mean gradient over situations per stack, in the stack's own tokens; keys as in `surfaces`.

        A stack that the target reached in none of the situations is left out. `stages`: only these are
        computed and paid for.
        """
        chosen = [
            (name, victim)
            for name, victim in zip(self.names, self.victims, strict=True)
            if stages is None or name in stages
        ]
        self._afford(Access.gradients, [intervention], situations, of=[victim for _, victim in chosen])
        return {
            name: gradient
            for name, victim in chosen
            for gradient in victim.gradients(intervention, situations).values()
        }

    def surfaces(self) -> dict[str, Surface]:
        """How text in the target's field is tokenised, per stack: the name of its last stage, `-2` for a second."""
        return {
            name: surface
            for name, victim in zip(self.names, self.victims, strict=True)
            for surface in victim.surfaces().values()
        }

    def continuations(
        self,
        interventions: Sequence[Intervention],
        count: int,
        seed: int,
        *,
        situation: Situation | None = None,
        sampling: Sampling | None = None,
    ) -> list[list[Continuation]]:
        """Texts that grow each edit by one token of the first stack's own model."""
        return self.victims[0].continuations(
            interventions, count, seed, situation=situation, sampling=sampling
        )

    def sought(
        self, intervention: Intervention = (), situations: Sequence[Situation] | None = None
    ) -> dict[str, list[Sought]]:
        """What the stages of every stack look for, per situation; a second stage of a name is `-2`."""
        self._afford(Access.scores, [intervention], situations)
        found = [pair for victim in self.victims for pair in victim.sought(intervention, situations).items()]
        return dict(zip(unique(name for name, _ in found), (rows for _, rows in found), strict=True))

    def _mean(self, ask: Callable[[StackVictim], np.ndarray]) -> np.ndarray:
        mean: np.ndarray = np.mean([ask(victim) for victim in self.victims], axis=0)
        return mean

    def _afford(
        self,
        needs: Access,
        interventions: Sequence[Intervention],
        situations: Sequence[Situation] | None,
        base: Intervention | None = None,
        *,
        of: Sequence[StackVictim] | None = None,
    ) -> None:
        """Refuse what one stack would refuse, and what all of them together cannot pay."""
        chosen = self.victims if of is None else of
        quotes = [victim.quote(needs, interventions, situations, base) for victim in chosen]
        queries = sum(quote.queries for quote in quotes)
        self.meter.require(
            queries=queries,
            tokens=sum(quote.tokens for quote in quotes),
            gradient_calls=queries if needs == Access.gradients else 0,
        )


def attackable(
    stacks: Sequence[Stack],
    target: Target,
    situations: Sequence[Situation],
    *,
    access: Access,
    limits: Mapping[str, float] | None = None,
    objective: Objective | None = None,
    max_tokens: int | None = None,
    seen: Sequence[str] = (),
    history: int = 0,
) -> StackVictim | EnsembleVictim:
    """What an attacker sees of one stack or several: access and budget are for all of them together.

    `seen`: stages of a single stack that are seen besides its last one. `history`: most items that may be put into
    histories.
    """
    meter = Meter(dict(limits or {}))
    victims = [
        StackVictim(
            stack,
            [target],
            situations,
            access=access,
            objective=objective,
            max_tokens=max_tokens,
            meter=meter,
            seen=seen,
            history=history,
        )
        for stack in stacks
    ]
    return victims[0] if len(victims) == 1 else EnsembleVictim(victims)


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once: a second `llm` becomes `llm-2`."""
    found: list[str] = []
    for name in names:
        number, free = 1, name
        while free in found:
            number += 1
            free = f"{name}-{number}"
        found.append(free)
    return tuple(found)


def _worst(ranks: Iterable[int | None]) -> int | None:
    worst = 0
    for rank in ranks:
        if rank is None:
            return None
        worst = max(worst, rank)
    return worst

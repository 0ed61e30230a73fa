"""One text against every stage that is seen: each proposes in its own way where the text fails there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from attacks.gcg import GCG
from attacks.words import Source
from testbed.protocols import Access, Step, Victim
from testbed.types import Situation, Target

if TYPE_CHECKING:
    import numpy as np

    from attacks.proposer import Proposer
    from attacks.scored import Scored


class Joint(GCG):
    """Get one text past several stages: by gradients, by what retrievers look for, by words, scored on all of them.

    In every step the candidates are shared out among the stages by the situations in which the text fails at each
    (`threat.stages` names those that are seen). A stage with gradients swaps tokens in its own tokenisation (Zou et al.
    2023, arXiv 2307.15043), a stage that looks for pieces of text has those written in, any other has words of the
    listing and the requests swapped in. All candidates are scored through the whole stack; only better ones are kept.
    With `signal: scores` no gradient is asked for. It is the joint search over a pipeline that attacks on single stages
    lack: those assume that the listing arrives.
    """

    signal: Literal["gradients", "scores"] = "gradients"
    """What is asked of the stages besides scores."""
    words: int = Field(default=20, ge=1)
    """Most words in the text, counted between blanks."""
    least: float = Field(default=0.1, ge=0, le=0.5)
    """Share of the candidates that every stage proposes, whether the text fails there or not."""
    sources: tuple[Source, ...] = ("listing", "requests")
    """Where words come from that no stage proposed: the target's own listing, the requests, `characters`."""

    @property
    def access(self) -> Access:  # type: ignore[override]
        """As `signal` says."""
        return Access[self.signal]

    def queries_per_step(self, situations: int) -> int:
        """The funnel, and a gradient or a look at what is sought for every stage; as many as five are reckoned with."""
        return 5 * min(self.gradient_situations, situations) + self.queries_for(situations)

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        from attacks.funnel import Funnel
        from attacks.scored import Scored, in_turn, scored
        from attacks.words import acceptable, check_start

        target = targets[0]
        accept = acceptable(self.ascii_only, self.banned_words)
        proposals = Proposals.of(self, target, victim)
        text = check_start(proposals.start(), self.ascii_only, self.banned_words)
        (current,) = scored(victim, target, [text])
        funnel = Funnel(self, victim, target)
        turn = 0
        while current.reached:
            yield Step(target.edit(current.text), current.mean)
            drafts = [draft for draft in proposals.drawn(current, turn, rng) if accept(draft)]
            drafts = list(dict.fromkeys(draft for draft in drafts if draft != current.text))
            turn += 1
            if not drafts:
                continue
            if len(drafts) > self.finalists:
                screen = in_turn(victim.situations, current.losses, turn, self.screen_situations)
                order, _ = funnel.rank(
                    current.text, drafts, screen, rng, current.on(screen, victim.situations)
                )
                drafts = [drafts[index] for index in order[: self.finalists]]
            best, losses = funnel.race(drafts, turn)
            found = Scored.of(drafts[best], losses)
            current = min(current, found, key=lambda one: one.mean)


class Proposals:
    """What the stages of one victim propose. `known`: what each seeking stage looks for, asked once a situation."""

    def __init__(
        self,
        options: Joint,
        target: Target,
        victim: Victim,
        proposers: Mapping[str, Proposer],
        pool: Sequence[str],
    ) -> None:
        self.options, self.target, self.victim = options, target, victim
        self.proposers, self.pool = proposers, pool
        self.known: dict[Situation, dict[str, list[str]]] = {}

    @classmethod
    def of(cls, options: Joint, target: Target, victim: Victim) -> Proposals:
        """With a proposer for each stage that shows gradients."""
        from attacks.proposer import Proposer
        from attacks.words import vocabulary

        surfaces = victim.surfaces() if options.signal == "gradients" else {}
        name = victim.name(target.item_id)
        proposers = {
            stage: Proposer.of(options, surface, list(surfaces.values()), name)
            for stage, surface in surfaces.items()
        }
        return cls(
            options, target, victim, proposers, vocabulary(target, victim, (), options.sources) or ["the"]
        )

    def start(self) -> str:
        """The text to begin with: the initial one, repeated where tokens have to be swapped."""
        from attacks.gcg import start
        from attacks.warm import initial_text

        options = self.options
        if not isinstance(options.initial, str):
            surfaces = [one.surface for one in self.proposers.values()]
            return initial_text(options.initial, self.target, surfaces)
        if self.proposers and options.initial == "*":
            return start(next(iter(self.proposers.values())).surface, options.initial, options.tokens)
        name = self.victim.name(self.target.item_id)
        return options.initial.replace("{name}", name) if options.initial != "*" else "the"

    def drawn(self, current: Scored, turn: int, rng: np.random.Generator) -> list[str]:
        """Candidates of all stages, as many of each as the text fails there."""
        import numpy as np

        from testbed.victim.slope import standing

        groups = self.victim.stages
        at = (
            standing(current.losses, max(1, len(groups) - 1))
            if len(groups) > 1
            else np.zeros(len(current.losses))
        )
        drafts: list[str] = []
        for number, group in enumerate(groups):
            failing = [
                place for place, here in zip(self.victim.situations, at, strict=True) if int(here) == number
            ]
            share = max(self.options.least, len(failing) / len(at))
            live = failing or [
                place for place, loss in zip(self.victim.situations, at, strict=True) if loss >= 0
            ]
            for stage in group:
                count = max(1, round(self.options.width * share / len(group)))
                drafts += self._of(stage, current.text, live[turn % len(live)], count, rng)
        return drafts

    def _of(
        self, stage: str, text: str, situation: Situation, count: int, rng: np.random.Generator
    ) -> list[str]:
        """Candidates of one stage, in one situation."""
        if stage in self.proposers:
            found = self.victim.gradients(self.target.edit(text), [situation], stages=[stage]).get(stage)
            if found is not None:
                options = self.options.model_copy(update={"width": count})
                drawn = replace(self.proposers[stage], options=options).draw(found, 1, rng)
                return [self._cut(one.text) for one in drawn]
        pieces = self._sought(situation).get(stage) or self.pool
        return [self._with(text, pieces[int(rng.integers(len(pieces)))], rng) for _ in range(count)]

    def _sought(self, situation: Situation) -> dict[str, list[str]]:
        """Pieces that each stage looks for, heaviest first; none where no stage that is seen looks for any."""
        from testbed.errors import UserError

        if situation not in self.known:
            try:
                told = self.victim.sought((), [situation])
            except UserError:
                told = {}
            self.known[situation] = {
                stage: [piece.text for piece in rows[0].pieces[:32]] for stage, rows in told.items()
            }
        return self.known[situation]

    def _with(self, text: str, piece: str, rng: np.random.Generator) -> str:
        """The text with a piece in the place of as many words, or between two where there is room."""
        words, new = text.split(), piece.split()
        place = int(rng.integers(len(words) + 1))
        room = len(words) + len(new) <= self.options.words
        kept = words[place:] if room and rng.random() < 0.7 else words[place + len(new) :]
        return self._cut(" ".join([*words[:place], *new, *kept]))

    def _cut(self, text: str) -> str:
        return " ".join(text.split(" ")[: self.options.words])

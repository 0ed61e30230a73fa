"""Reward-tilted rejection sampling (after RSO, Liu et al. 2023, arXiv 2309.06657)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from attacks.writing import WritingAttack
from testbed.protocols import Step, Victim
from testbed.types import Situation, Target

if TYPE_CHECKING:
    from attacks.scored import Scored


class Rejection(WritingAttack):
    """Draw texts from the victim's own model and accept each with probability exp((r − r_max) / beta).

    What is accepted is distributed as p(text) · exp(r / beta) for r = −(mean objective): of all distributions with that
    reward the closest to what the model itself would write. The best reward so far stands for r_max
    (Liu et al. 2023, arXiv 2309.06657), and every sample keeps its own uniform number, so that a better one later on
    only ever takes samples away. Samples are counted by index: two of the same text are two, as its probability
    has it. A round draws `width` texts; its step is one of all that are accepted by then.
    """

    tokens: int = Field(default=12, ge=1, le=500)
    """Length of the text in the victim's tokens, what `initial` gives included."""
    width: int = Field(default=8, ge=1)
    """Texts drawn a round."""
    beta: float = Field(default=0.5, gt=0)
    """How much reward, in units of the objective, outweighs a text that is e times likelier. Near 0 the best text
    is taken whatever it is like; the larger, the closer to plain samples."""
    keep: Literal["draw", "best"] = "draw"
    """`draw`: one of those accepted, at random, so that the text is a draw from the tilted distribution; steps then
    carry no objective, and the last one counts. `best`: the best of all samples, whatever `beta` is (best of n)."""
    rounds: int | None = Field(default=None, ge=1)
    """Rounds; as many as the budget allows when left out."""

    def queries_per_step(self, situations: int) -> int:
        """One for every token, and every text in every situation."""
        return self.width * (self.tokens + situations)

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        from attacks.scored import scored

        target = targets[0]
        stem = self.stem(target, victim)
        (begin,) = scored(victim, target, [stem])
        yield self._step(begin, target)
        samples: list[Scored] = []
        uniform: list[float] = []
        for turn in count() if self.rounds is None else range(self.rounds):
            place = victim.situations[turn % len(victim.situations)]
            texts = [text for text in self._texts(stem, target, victim, place, rng) if text != stem]
            if not texts:
                return
            samples += scored(victim, target, texts)
            uniform += rng.random(len(texts)).tolist()
            kept = accepted([-one.mean for one in samples], uniform, self.beta)
            drawn = samples[kept[int(rng.integers(len(kept)))]]
            best = min(samples, key=lambda one: one.mean)
            yield self._step(drawn if self.keep == "draw" else best, target)

    def _step(self, one: Scored, target: Target) -> Step:
        return Step(target.edit(one.text), one.mean if self.keep == "best" else None)

    def _texts(
        self, stem: str, target: Target, victim: Victim, situation: Situation, rng: np.random.Generator
    ) -> list[str]:
        """`width` independent samples, each as long as it gets."""
        texts = [stem] * self.width
        growing = list(range(self.width))
        while growing:
            found = self.drawn([texts[index] for index in growing], 1, target, victim, situation, rng)
            for index, row in zip(growing, found, strict=True):
                texts[index] = row[0].text if row else texts[index]
            growing = [
                index
                for index, row in zip(growing, found, strict=True)
                if row and row[0].tokens < self.tokens
            ]
        return texts


def accepted(rewards: Sequence[float], uniform: Sequence[float], beta: float) -> list[int]:
    """Indices of the samples whose uniform number is at most exp((r − r_max) / beta); the best always is among them."""
    best = max(rewards)
    chances = np.exp((np.array(rewards) - best) / beta)
    return [index for index, chance in enumerate(chances) if uniform[index] <= chance]

"""Profile pollution: items that a user never chose stand in the history that a recommender reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from testbed.protocols import Access, AttackPlugin, Step, Victim
from testbed.types import HistoryEdit, Intervention, Target

if TYPE_CHECKING:
    import numpy as np


class ProfilePollution(AttackPlugin):
    """Put the same few items into the history of everybody who asks (Xing et al. 2013, USENIX Security).

    What a page that a user visits can do in his name. The listing stays as it is. Stages that read no history do
    not notice; `threat.history` says how many items may be put there.
    """

    items: int = Field(default=1, ge=1)
    """How many (k)."""
    choose: Literal["target", "preceding", "similar", "popular", "random", "search"] = "target"
    """Which: the target itself; what it most often comes right after, or what most often occurs, in histories of
    the requests that the attacker may use; what has the likest listing; any; or those that a greedy search finds."""
    gap: int = Field(default=0, ge=0)
    """Genuine items between two of them; 0 makes them the newest ones in a row."""
    width: int = Field(default=16, ge=1)
    """Items that `search` tries for one place in a step."""
    signal: Literal["ranks", "scores"] = "ranks"
    """What `search` asks of the victim: mean of 1 − 1 / log2(1 + rank), or the objective."""

    @property
    def access(self) -> Access:  # type: ignore[override]
        """None but for a search."""
        if self.choose != "search":
            return Access.none
        return Access.scores if self.signal == "scores" else Access.ranks

    @property
    def inserts(self) -> int:
        """As many as there are items."""
        return self.items

    def queries_per_step(self, situations: int) -> int:
        """Every candidate on every situation."""
        return self.width * situations if self.choose == "search" else 0

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        target = targets[0].item_id
        if self.choose != "search":
            yield Step(self.edits(self.chosen(target, victim, rng)))
            return
        yield from self._search(victim, self._drawn(target, victim, rng, self.items), rng)

    def edits(self, items: Sequence[str]) -> Intervention:
        """The items in a history, the last one newest."""
        last = len(items) - 1
        return tuple(HistoryEdit(item, self.gap * (last - place)) for place, item in enumerate(items))

    def chosen(self, target: str, victim: Victim, rng: np.random.Generator) -> list[str]:
        """The items without a search; random ones where histories and listings do not tell enough."""
        from attacks.neighbours import known_histories, popular, preceding, similar

        if self.choose == "target":
            return [target] * self.items
        found: list[str] = []
        if self.choose == "preceding":
            found = preceding(known_histories(victim), target)
        elif self.choose == "popular":
            found = popular(known_histories(victim), target)
        if self.choose in ("preceding", "similar") and len(found) < self.items:
            found += [item for item in similar(victim, target) if item not in found]
        if len(found) < self.items:
            drawn = self._drawn(target, victim, rng, len(victim.items))
            found += [item for item in drawn if item not in found]
        # the one that speaks most for the target is the newest; in a catalog of few items they come again
        return [found[place % len(found)] for place in range(self.items)][::-1]

    def _drawn(self, target: str, victim: Victim, rng: np.random.Generator, count: int) -> list[str]:
        """Items in random order, each once while there are some; the target only where it is alone."""
        others = [item for item in victim.items if item != target] or [target]
        order = [others[int(place)] for place in rng.permutation(len(others))]
        return [order[place % len(order)] for place in range(count)]

    def _search(self, victim: Victim, current: list[str], rng: np.random.Generator) -> Iterator[Step]:
        """One place after the other: the best of `width` items for it, if it is not worse than what stands there."""
        from attacks.losses import asked

        every = list(victim.items)
        best = asked(victim, [self.edits(current)], self.signal)[0]
        yield Step(self.edits(current), best)
        turn = idle = 0
        while idle < len(current) or len(every) > self.width:
            place = turn % len(current)
            drawn = rng.permutation(len(every))[: self.width]
            drafts = [
                [*current[:place], every[int(one)], *current[place + 1 :]]
                for one in drawn
                if every[int(one)] != current[place]
            ]
            losses = asked(victim, [self.edits(draft) for draft in drafts], self.signal)
            winner = min(range(len(drafts)), key=losses.__getitem__, default=None)
            idle = 0 if winner is not None and losses[winner] < best else idle + 1
            if winner is not None and losses[winner] < best:
                current, best = drafts[winner], losses[winner]
            yield Step(self.edits(current), best)
            turn += 1

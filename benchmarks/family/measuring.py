"""Texts of every attack and of chance, within one budget of queries; and where they rank on held-out requests."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from engine.log import Entry, Log

from attacks.losses import asked
from attacks.objectives import ExpectedRank
from family.rows import Row
from family.victims import Victim
from testbed.protocols import Access
from testbed.seeds import rng_for
from testbed.types import Situation
from testbed.victim import BudgetExhausted, EnsembleVictim, StackVictim, attackable

Tell = Callable[[str], None]
Judge = StackVictim | EnsembleVictim
SHARP = 1e-6
"""Temperature at which the expected rank is the rank; rivals with the same score count a half."""


@dataclass(frozen=True)
class Bench:
    """What is measured: victims × rows × their targets × seeds. `queries`: a budget in place of the victims' own."""

    log: Log
    victims: dict[str, Callable[[], Victim]]
    rows: Sequence[Row]
    seeds: Sequence[int]
    queries: int | None = None

    def budget(self, victim: Victim) -> int:
        """Queries that an attack on a victim has."""
        return self.queries or victim.queries

    def cells(self, name: str) -> Iterator[Row]:
        """The rows of a victim."""
        return (row for row in self.rows if name in row.victims)

    def run(self, tell: Tell = lambda _: None) -> None:
        """Everything that is not in the log yet; a victim is loaded only when something of it is missing."""
        for name, make in self.victims.items():
            victim = make()
            judges = {item: judge_of(victim, item) for item in victim.items}
            for row in self.cells(name):
                for item in victim.items:
                    for seed in self.seeds:
                        entry = self.attacked(victim, row, item, seed)
                        control = self.control(victim, row.signal, victim.size(entry["text"]), item, seed)
                        for text in ("", entry["text"], control["text"]):
                            self._ranked(victim, item, text, judges[item])
                        tell(f"{entry['key']}: {entry['seconds']:.0f} s, {entry['text'][:80]!r}")

    def attacked(self, victim: Victim, row: Row, item: str, seed: int) -> Entry:
        """The best text of an attack by its own loss on the requests that it sees, and what it took."""
        key = f"attack/{victim.name}/{row.name}/{item}/{seed}/{self.budget(victim)}"
        if key in self.log:
            return self.log.entries[key]
        target = victim.target(item)
        asked_of = attackable(
            [victim.stack],
            target,
            [Situation(request, 0) for request in victim.optimise],
            access=row.plugin.access,
            limits={"queries": self.budget(victim)},
            objective=victim.objective,
            seen=() if row.last_alone else victim.watched,
        )
        started, best, text = time.process_time(), None, ""
        rng = rng_for("family", victim.name, row.name, item, seed)
        try:
            for step in row.plugin([target], asked_of, rng):
                if best is None or step.objective is None or step.objective < best:
                    best = step.objective
                    text = "".join(edit.text for edit in step.intervention if hasattr(edit, "text"))
        except BudgetExhausted:
            pass
        usage = asked_of.meter.usage
        return self.log.add(
            key,
            text=text,
            objective=best,
            queries=usage.queries,
            gradients=usage.gradient_calls,
            seconds=time.process_time() - started,
        )

    def control(self, victim: Victim, signal: str, size: int, item: str, seed: int) -> Entry:
        """The best of as many random texts as the budget is for, by what the attacker may see; one for `none`."""
        signal = "scores" if signal == "gradients" else signal
        key = f"random/{victim.name}/{signal}/{size}/{item}/{seed}/{self.budget(victim)}"
        if key in self.log:
            return self.log.entries[key]
        count = 1 if signal == "none" else max(1, self.budget(victim) // len(victim.optimise))
        texts = [victim.random(size, item, seed, number) for number in range(count)]
        losses = [0.0]
        if signal != "none":
            target = victim.target(item)
            asked_of = attackable(
                [victim.stack],
                target,
                [Situation(request, 0) for request in victim.optimise],
                access=Access[signal],
                limits={"queries": self.budget(victim)},
                objective=victim.objective,
                seen=victim.watched,
            )
            losses = [
                loss
                for begin in range(0, count, 10)
                for loss in asked(asked_of, [target.edit(text) for text in texts[begin : begin + 10]], signal)
            ]
        best = int(np.argmin(losses))
        return self.log.add(key, text=texts[best], objective=losses[best])

    def _ranked(self, victim: Victim, item: str, text: str, judge: Judge) -> None:
        key = ranks_key(victim, item, text)
        if key not in self.log:
            losses = judge.objective([victim.target(item).edit(text)])[0]
            self.log.add(key, ranks=[float(rank) if np.isfinite(rank) else None for rank in losses])


def judge_of(victim: Victim, item: str) -> Judge:
    """Tells ranks on held-out requests; remembers what rivals score, so that a text costs one listing a request."""
    return attackable(
        [victim.stack],
        victim.target(item),
        [Situation(request, 1) for request in victim.test],
        access=Access.scores,
        objective=ExpectedRank(temperature=SHARP),
    )


def ranks_key(victim: Victim, item: str, text: str) -> str:
    """Where the ranks of a text are kept."""
    return f"ranks/{victim.name}/{item}/{hashlib.sha256(text.encode()).hexdigest()[:16]}"

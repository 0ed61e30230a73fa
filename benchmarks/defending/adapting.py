"""Attacks that are searched through each defence, random text with the same budget, and texts that know no defence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from engine.log import Log
from family.measuring import Bench
from family.victims import Victim

from attacks.objectives import FirstItem
from catalogs.shipped import CoffeeMachines
from defending.rows import ATTACKS, Adaptive
from testbed.environment import Environment
from testbed.stack import Call
from testbed.types import Situation

ITEMS = ("aurelia-grand", "swiftbrew-go", "larkspur-twelve", "pietra-moka")
TOKENS = 16
"""Length of random text; attacks write about as much."""
HELD_OUT = 8
SEED = 0


@dataclass(frozen=True)
class Adapting:
    """Defences × attacks × listings: found on two requests, ranked on `HELD_OUT` others by whole rankings."""

    log: Log
    environment: Environment
    defences: Mapping[str, Adaptive]

    @cached_property
    def bench(self) -> Bench:
        """Makes attacks and controls."""
        return Bench(self.log, {}, tuple(ATTACKS.values()), (SEED,))

    def victim(self, name: str, queries: int) -> Victim:
        """The coffee machines behind a defence; nothing is loaded yet."""
        return Victim(
            name,
            name,
            self.defences[name].plugin,
            CoffeeMachines(),
            "Description",
            ITEMS,
            self.environment,
            queries,
            objective=FirstItem(),
            held_out=HELD_OUT,
        )

    def run(self, name: str, tell: Callable[[str], None] = lambda _: None) -> None:
        """Everything of one defence that is not in the log yet, and the same attacks without it."""
        row = self.defences[name]
        victim, bare = self.victim(name, row.queries), self.victim(row.base, row.queries)
        for item in ITEMS:
            texts = ["", self.bench.control(victim, "scores", TOKENS, item, SEED)["text"]]
            undefended = [""]
            for attack in row.attacks:
                undefended.append(self.bench.attacked(bare, ATTACKS[attack], item, SEED)["text"])
                entry = self.bench.attacked(victim, ATTACKS[attack], item, SEED)
                texts.append(entry["text"])
                tell(f"{entry['key']}: {entry['seconds']:.0f} s, {entry['text'][:80]!r}")
            self.rank(bare, item, undefended)
            self.rank(victim, item, [*texts, *undefended])

    def rank(self, victim: Victim, item: str, texts: Sequence[str]) -> None:
        """Ranks of a listing with each text on the held-out requests; None where it is not listed.

        All at once: what is asked about rivals is mostly the same, and is asked once.
        """
        missing = [
            text for text in dict.fromkeys(texts) if ranks_key(victim.name, item, text) not in self.log
        ]
        calls = [
            Call(victim.catalog.request(request), Situation(request, 1), victim.target(item).edit(text), item)
            for text in missing
            for request in victim.test
        ]
        ranks = [answer.slate.rank_of(item) for answer in victim.stack.run(calls)] if calls else []
        for number, text in enumerate(missing):
            mine = ranks[number * len(victim.test) : (number + 1) * len(victim.test)]
            self.log.add(ranks_key(victim.name, item, text), ranks=mine)


def ranks_key(name: str, item: str, text: str) -> str:
    """Where the ranks of a text are kept."""
    return f"behind/{name}/{item}/{hashlib.sha256(text.encode()).hexdigest()[:16]}"

"""What each defence leaves of attacks that were searched through it: the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from engine.log import Entry, Log
from engine.tables import rows as markdown
from family.tables import share, written
from family.victims import exposure

from defending.adapting import ITEMS, SEED, TOKENS, ranks_key
from defending.rows import ATTACKS, Adaptive
from testbed.seeds import rng_for
from testbed.statistics import Cells, Interval, Intervals

HEAD = (
    "defence",
    "queries",
    "first: clean / random / without / through",
    "gained: made without",
    "made through",
    "through − random",
    "through − undefended",
    "",
)
ARMS = ("clean", "random", "without", "through", "bare clean", "bare attack")


@dataclass(frozen=True)
class Held:
    """Ranks by arm, (targets, requests), 0 for unlisted; the last two arms are those of the undefended stage.

    Of several attacks the text counts that has the least loss on the requests which the attacker sees.
    """

    ranks: Mapping[str, np.ndarray]
    queries: float

    def gain(self, arm: str, clean: str = "clean") -> np.ndarray:
        """(targets, requests) exposure beyond that of the clean listing."""
        seen = np.vectorize(lambda rank: exposure(rank or None), otypes=[float])
        difference: np.ndarray = seen(self.ranks[arm]) - seen(self.ranks[clean])
        return difference

    @property
    def undefended(self) -> np.ndarray:
        """What the same attacks gain for the same budget where there is no defence."""
        return self.gain("bare attack", "bare clean")


def held(log: Log, name: str, row: Adaptive, attacks: Sequence[str]) -> Held | None:
    """What is known of a defence against the best of some attacks; None where something is missing."""
    ranks: dict[str, list[list[float]]] = {arm: [] for arm in ARMS}
    queries = []
    for item in ITEMS:
        tail = f"{item}/{SEED}/{row.queries}"
        chance = log.entries.get(f"random/{name}/scores/{TOKENS}/{tail}")
        through = _found(log, name, attacks, tail)
        without = _found(log, row.base, attacks, tail)
        if chance is None or through is None or without is None:
            return None
        texts = {
            "clean": (name, ""),
            "random": (name, chance["text"]),
            "without": (name, _best(without)),
            "through": (name, _best(through)),
            "bare clean": (row.base, ""),
            "bare attack": (row.base, _best(without)),
        }
        for arm, (where, text) in texts.items():
            entry = log.entries.get(ranks_key(where, item, text))
            if entry is None:
                return None
            ranks[arm].append([rank or 0 for rank in entry["ranks"]])
        queries += [entry["queries"] for entry in through]
    return Held({arm: np.array(lines) for arm, lines in ranks.items()}, float(np.mean(queries)))


def best_of_all(log: Log, defences: Mapping[str, Adaptive]) -> str:
    """A row a defence: the attacker takes the attack that did best on the requests it sees. '' without any."""
    lines = []
    for name, row in defences.items():
        one = held(log, name, row, row.attacks)
        if one is None:
            continue
        bare = name == row.base
        gained = interval(one.gain("through"))
        more = interval(one.gain("through", "random"))
        less = interval(one.gain("through") - one.undefended, 2)
        lines.append(
            (
                name,
                f"{one.queries:.0f}",
                " / ".join(share(one.ranks[arm]) for arm in ARMS[:4]),
                "" if bare else written(interval(one.gain("without"))),
                written(gained),
                written(more),
                "" if bare else written(less),
                "" if bare else said(interval(one.gain("random")), gained, more, less),
            )
        )
    return markdown(HEAD, lines) if lines else ""


def by_attack(log: Log, defences: Mapping[str, Adaptive]) -> str:
    """A row a defence, a column an attack that was searched through it: exposure gained. '' without any."""
    lines = []
    for name, row in defences.items():
        cells = []
        for attack in ATTACKS:
            one = held(log, name, row, (attack,)) if attack in row.attacks else None
            cells.append("" if one is None else written(interval(one.gain("through"))))
        if any(cells):
            lines.append((name, *cells))
    return markdown(("defence", *(f"`{attack}`" for attack in ATTACKS)), lines) if lines else ""


def interval(gains: np.ndarray, bound: float = 1) -> Interval:
    """Of (targets, requests) gains, over both. `bound`: the largest that one can be."""
    cells = Cells(gains[:, :, None], tuple(range(len(gains))))
    return Intervals(lambda name: rng_for("adaptive", name)).of(cells, (-bound, bound))


def said(chance: Interval, gained: Interval, more: Interval, less: Interval) -> str:
    """Whether the attack is better than the clean listing and random text, and the defence takes something from it.

    Where random text gains as well (`chance`), the defence favours whoever writes more.
    """
    if chance.low is not None and chance.low > 0:
        return "**random text wins**"
    works = all(one.low is not None and one.low > 0 for one in (gained, more))
    taken = less.high is not None and less.high < 0
    return {
        (True, False): "**beaten**",
        (True, True): "takes some",
        (False, True): "**holds**",
        (False, False): "undecided",
    }[works, taken]


def _found(log: Log, name: str, attacks: Sequence[str], tail: str) -> list[Entry] | None:
    entries = [log.entries.get(f"attack/{name}/{attack}/{tail}") for attack in attacks]
    found = [entry for entry in entries if entry is not None]
    return found if len(found) == len(attacks) else None


def _best(entries: Sequence[Entry]) -> str:
    losses = [np.inf if entry["objective"] is None else entry["objective"] for entry in entries]
    return str(entries[int(np.argmin(losses))]["text"])

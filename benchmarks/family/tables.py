"""The table: every attack, random text at equal budget, and whether the difference holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from engine.tables import rows as markdown

from family.measuring import Bench, ranks_key
from family.rows import Row
from family.victims import Victim, exposure
from testbed.seeds import rng_for
from testbed.statistics import Cells, Interval, Intervals, holm, sign_flip

HEAD = (
    "attack",
    "access",
    "queries",
    "top-1 clean",
    "attack",
    "random",
    "exposure: attack − clean",
    "attack − random",
    "p",
    "",
)
LEVEL = 0.05
WEAK, BEATS, WORSE = "weak", "**beats random text**", "weak: worse than random text"


@dataclass(frozen=True)
class Found:
    """One row of a victim: ranks (blocks, requests) under each arm, 0 for unlisted, and what was asked."""

    row: Row
    clean: np.ndarray
    attack: np.ndarray
    random: np.ndarray
    targets: tuple[int, ...]
    queries: float

    def gain(self, arm: str, against: str) -> np.ndarray:
        """(blocks, requests) difference of exposure."""
        seen = np.vectorize(lambda rank: exposure(rank or None), otypes=[float])
        difference: np.ndarray = seen(getattr(self, arm)) - seen(getattr(self, against))
        return difference


def found(bench: Bench, victim: Victim, row: Row) -> Found | None:
    """What the log has of a row; None where something is missing."""
    arms: dict[str, list[list[float]]] = {"clean": [], "attack": [], "random": []}
    targets, queries = [], []
    signal = "scores" if row.signal == "gradients" else row.signal
    for number, item in enumerate(victim.items):
        for seed in bench.seeds:
            entries = bench.log.entries
            attack = entries.get(f"attack/{victim.name}/{row.name}/{item}/{seed}/{bench.budget(victim)}")
            if attack is None:
                return None
            size = victim.size(attack["text"])
            chance = entries.get(f"random/{victim.name}/{signal}/{size}/{item}/{seed}/{bench.budget(victim)}")
            texts = {"clean": "", "attack": attack["text"], "random": chance["text"] if chance else None}
            for arm, text in texts.items():
                ranks = None if text is None else entries.get(ranks_key(victim, item, text))
                if ranks is None:
                    return None
                arms[arm].append([rank or 0 for rank in ranks["ranks"]])
            targets.append(number)
            queries.append(attack["queries"])
    clean, attacked, random = (np.array(arms[arm]) for arm in ("clean", "attack", "random"))
    return Found(row, clean, attacked, random, tuple(targets), float(np.mean(queries)))


def table(bench: Bench, victim: Victim) -> str:
    """The rows of a victim that are measured; '' without any."""
    measured = [one for row in bench.cells(victim.name) if (one := found(bench, victim, row)) is not None]
    if not measured:
        return ""
    intervals = Intervals(lambda name: rng_for("family", name))
    tests = [by_request(one.gain("attack", "random")) for one in measured]
    adjusted = holm(tests)
    lines = []
    for one, p in zip(measured, adjusted, strict=True):
        lift, more = (interval(one, against, intervals) for against in ("clean", "random"))
        lines.append(
            (
                f"`{one.row.name}`".replace(", ", "`, ").removesuffix("`")
                if ", " in one.row.name
                else f"`{one.row.name}`",
                one.row.plugin.access.name,
                f"{one.queries:.0f}",
                *(share(getattr(one, arm)) for arm in ("clean", "attack", "random")),
                written(lift),
                written(more),
                f"{p:.3f}" if p >= 0.001 else "< .001",
                mark(more, p),
            )
        )
    about = (
        f"**{victim.title}.** {len(victim.items)} targets × {len(bench.seeds)} seeds, at most {bench.budget(victim)} "
        f"queries each, optimised on {len(victim.optimise)} requests, measured on {len(victim.test)} others."
    )
    return f"{about}\n\n{markdown(HEAD, lines)}"


def interval(one: Found, against: str, intervals: Intervals) -> Interval:
    """Of the difference of exposure, over seeds and held-out requests; targets are these."""
    return intervals.of(Cells(one.gain("attack", against)[:, :, None], one.targets), (-1, 1))


def by_request(gains: np.ndarray) -> float:
    """Two-sided p by sign flips of held-out requests, each the mean over targets and seeds."""
    test = sign_flip(gains.mean(0).tolist(), rng_for("family", "flips"))
    return 1.0 if test is None else test.p


def mark(more: Interval, p: float) -> str:
    """Whether attack − random is above 0 by its interval and by its corrected p; weak otherwise."""
    if more.low is None or more.high is None or p >= LEVEL:
        return WEAK
    return BEATS if more.low > 0 else WORSE if more.high < 0 else WEAK


def share(ranks: np.ndarray) -> str:
    """Share of rankings with the target first."""
    return f"{((ranks >= 1) & (ranks < 1.5)).mean():.2f}"


def written(found: Interval) -> str:
    """`+.12 [−.03, +.27]`."""
    if found.estimate is None:
        return "–"
    if found.low is None or found.high is None:
        return _signed(found.estimate)
    return f"{_signed(found.estimate)} [{_signed(found.low)}, {_signed(found.high)}]"


def _signed(value: float) -> str:
    return ("−" if round(value, 2) < 0 else "+") + f"{abs(value):.2f}".removeprefix("0")

"""By step of an attack: means over requests, the band of random text, and the first step outside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from engine.log import Log

from drift.measuring import OBSERVERS, Attack, Trace
from testbed.types import Target

Values = Mapping[str, np.ndarray]
"""Measure → (texts,) means over requests."""
MEASURES = ("rank", "first", "margin", *OBSERVERS)
NAMES = {
    "rank": "mean rank",
    "first": "P(rank 1)",
    "margin": "margin, nats",
    "reach": "goal reach",
    "reach, plain": "goal reach, plain",
}


@dataclass(frozen=True)
class Band:
    """What is noise: from the least to the greatest of the clean listing and random text in its place."""

    clean: float
    low: float
    high: float
    random: float

    @classmethod
    def of(cls, clean: float, random: np.ndarray) -> Band:
        """From means over the same requests."""
        every = np.array([clean, *random])
        return cls(clean, float(every.min()), float(every.max()), float(random.mean()))


@dataclass(frozen=True)
class Course:
    """One attack: measure → (steps,) means over requests, and the band of each measure."""

    attack: Attack
    values: Values
    bands: Mapping[str, Band]

    def left(self, measure: str) -> int | None:
        """The first step that is better for the attacker than everything in the band; None where there is none."""
        band = self.bands[measure]
        if measure == "rank":
            return first(self.values[measure] < band.low)
        return first(self.values[measure] > band.high)

    @property
    def changed(self) -> int | None:
        """The first step at which any request's rank differs, on average, from the clean one."""
        return first(self.values["rank"] != self.bands["rank"].clean)


def courses(trace: Trace, log: Log) -> list[Course]:
    """One an attack."""
    found = []
    for attack in trace.attacks:
        texts, controls = trace.texts(attack.target), trace.controls(attack.target)
        means = _means(trace, log, attack.target)
        steps = [texts.index(text) for text in attack.texts]
        noise = [texts.index(text) for text in controls]
        bands = {name: Band.of(float(values[0]), values[noise]) for name, values in means.items()}
        found.append(Course(attack, {name: values[steps] for name, values in means.items()}, bands))
    return found


def _means(trace: Trace, log: Log, target: Target) -> Values:
    entries = [log.entries[trace.key(target, situation)] for situation in trace.situations]
    last = len(trace.world.catalog) + 1  # below every rank
    ranks = np.array([[last if rank is None else rank for rank in one["rank"]] for one in entries], float)
    rest = {name: np.array([one[name] for one in entries], float).mean(0) for name in ("margin", *OBSERVERS)}
    return {"rank": ranks.mean(0), "first": (ranks == 1).mean(0), **rest}


def first(which: np.ndarray) -> int | None:
    """The first place that is true."""
    return int(np.argmax(which)) if which.any() else None


def earlier(found: list[Course], early: str, pick: Callable[[Course], int | None]) -> tuple[int, int, int]:
    """How many attacks leave the band of `early` before, at and after the step that `pick` tells; never counts as
    after everything."""
    pairs = [(_last(one.left(early)), _last(pick(one))) for one in found]
    return (
        sum(left < right for left, right in pairs),
        sum(left == right for left, right in pairs),
        sum(left > right for left, right in pairs),
    )


def _last(step: int | None) -> float:
    return float("inf") if step is None else step

"""By step of an attack: means over requests, the band of random text, and the first step outside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from engine.log import Log

from drift.measuring import OBSERVERS, Attack, Trace
from testbed.seeds import rng_for
from testbed.statistics import Cells, Intervals
from testbed.types import Target

Values = Mapping[str, np.ndarray]
"""Measure → values."""
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
    """What is noise: as far to both sides of the clean listing as random text in its place moves it at most."""

    clean: float
    reach: float
    random: float

    @classmethod
    def of(cls, clean: float, random: np.ndarray) -> Band:
        """From means over the same requests."""
        return cls(clean, float(np.abs(random - clean).max()), float(random.mean()))


@dataclass(frozen=True)
class Course:
    """One attack: measure → (steps, requests), with that of the clean listing (requests,), and the noise bands.

    Values rise with the attacker's success, so ranks stand with a minus.
    """

    attack: Attack
    values: Values
    clean: Values
    bands: Mapping[str, Band]

    def means(self, measure: str) -> np.ndarray:
        """(steps,) over requests."""
        found: np.ndarray = self.values[measure].mean(axis=1)
        return found

    def left(self, measure: str) -> int | None:
        """The first step above the noise band; None where there is none."""
        band = self.bands[measure]
        return first(self.means(measure) > band.clean + band.reach)

    def shown(self, measure: str) -> int | None:
        """The first step whose gain, request by request, has a 95 % interval above 0."""
        gains = self.values[measure] - self.clean[measure]
        lows = [_intervals().of(Cells(gain[None, :, None], (0,))).low for gain in gains]
        return first(np.array([low is not None and low > 0 for low in lows]))

    @property
    def changed(self) -> int | None:
        """The first step at which the rank of any request is another than the clean one."""
        return first((self.values["rank"] != self.clean["rank"]).any(axis=1))


@cache
def _intervals() -> Intervals:
    return Intervals(lambda name: rng_for("goal drift", name))


def courses(trace: Trace, log: Log) -> list[Course]:
    """One an attack."""
    found = []
    for attack in trace.attacks:
        texts, controls = trace.texts(attack.target), trace.controls(attack.target)
        every = _values(trace, log, attack.target)
        steps = [texts.index(text) for text in attack.texts]
        noise = [texts.index(text) for text in controls]
        bands = {
            name: Band.of(float(values[0].mean()), values[noise].mean(1)) for name, values in every.items()
        }
        values = {name: one[steps] for name, one in every.items()}
        found.append(Course(attack, values, {name: one[0] for name, one in every.items()}, bands))
    return found


def _values(trace: Trace, log: Log, target: Target) -> Values:
    """(texts, requests) each."""
    entries = [log.entries[trace.key(target, situation)] for situation in trace.situations]
    last = len(trace.world.catalog) + 1  # below every rank
    ranks = np.array([[last if rank is None else rank for rank in one["rank"]] for one in entries], float).T
    rest = {name: np.array([one[name] for one in entries], float).T for name in ("margin", *OBSERVERS)}
    return {"rank": -ranks, "first": (ranks == 1).astype(float), **rest}


def first(which: np.ndarray) -> int | None:
    """The first place that is true."""
    return int(np.argmax(which)) if which.any() else None


def earlier(pairs: Iterable[tuple[int | None, int | None]]) -> tuple[int, int, int]:
    """How often the first of two steps is before, at and after the second; never counts as after everything."""
    both = [(_last(one), _last(other)) for one, other in pairs]
    return (
        sum(one < other for one, other in both),
        sum(one == other for one, other in both),
        sum(one > other for one, other in both),
    )


def _last(step: int | None) -> float:
    return float("inf") if step is None else step

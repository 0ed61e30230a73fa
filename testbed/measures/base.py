"""What a measure is: a number for a ranking, for a change of it, or for a pair of rankings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Values: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.float64]]"
"""(n,) float64; nan where the measure is not defined (never a stand-in value)."""

Section = Literal["level", "quality", "effect", "harm", "order"]


@dataclass(frozen=True)
class Seen:
    """One ranking with what is needed to judge it.

    `relevance`: grades of the request, None when it has none. `violating`: items that break the user's stated
    constraints, None when the request states none. `scores` are in the order of `ranking`.
    `observed`: what observers told.
    """

    ranking: tuple[str, ...]
    target: str | None = None
    scores: tuple[float | None, ...] | None = None
    relevance: Mapping[str, int] | None = None
    violating: frozenset[str] | None = None
    observed: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def rank(self) -> int | None:
        """Rank of the target, 1 for the best; None when it is not listed."""
        if self.target is None or self.target not in self.ranking:
            return None
        return self.ranking.index(self.target) + 1


@dataclass(frozen=True)
class Measure:
    """A measure by its name, which is its spelling in scenarios and its repr.

    `bounds`: smallest and largest value, None when unbounded. `binary`: single values are 0 or 1 (differences
    −1, 0 or 1), so exact tests apply.
    """

    name: str
    section: Section
    bounds: tuple[float, float] | None = None
    binary: bool = False

    @property
    def observed(self) -> str:
        """The observed number that it reads; '' for none."""
        return ""

    def __repr__(self) -> str:
        return self.name


def _undefined(seen: Sequence[Seen]) -> Values:
    import numpy as np

    return np.full(len(seen), np.nan)


@dataclass(frozen=True, repr=False)
class Level(Measure):
    """A number for one ranking. `function`: rankings → (n,) values. `reads`: of what was observed."""

    function: Callable[[Sequence[Seen]], Values] = _undefined
    reads: str = ""

    @property
    def observed(self) -> str:
        """The observed number that it reads."""
        return self.reads

    def of(self, seen: Sequence[Seen]) -> Values:
        """(n,) values; nan where undefined."""
        return self.function(seen)

    def effect(self, before: Sequence[Seen], after: Sequence[Seen]) -> Values:
        """(n,) after − before; nan where either is undefined."""
        return self.of(after) - self.of(before)


@dataclass(frozen=True, repr=False)
class Change(Measure):
    """`sign` × (level after − level before); sign −1 makes a loss positive."""

    level: Level = Level("", "level")
    sign: int = 1

    @property
    def observed(self) -> str:
        """As its level's."""
        return self.level.observed

    def effect(self, before: Sequence[Seen], after: Sequence[Seen]) -> Values:
        """(n,) values; nan where either level is undefined."""
        return self.sign * self.level.effect(before, after)


@dataclass(frozen=True, repr=False)
class Paired(Measure):
    """A number for two rankings of one situation. `function`: (before, after) → value, nan if undefined.

    `signed`: 0 means no effect and both directions can happen, so that a test against 0 makes sense.
    """

    function: Callable[[Seen, Seen], float] = lambda before, after: float("nan")
    signed: bool = False

    def effect(self, before: Sequence[Seen], after: Sequence[Seen]) -> Values:
        """(n,) values; nan where undefined."""
        import numpy as np

        return np.array([self.function(*pair) for pair in zip(before, after, strict=True)], dtype=np.float64)


@dataclass(frozen=True, repr=False)
class Summary(Measure):
    """A number for many rankings at once (see `testbed.measures.order`)."""


def each(function: Callable[[Seen], float]) -> Callable[[Sequence[Seen]], Values]:
    """The function of a `Level` from a function of one ranking."""

    def values(seen: Sequence[Seen]) -> Values:
        import numpy as np

        return np.array([function(one) for one in seen], dtype=np.float64)

    return values

"""The parts of a scenario that the core reads: threat, targets, splits, machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, field_validator

from testbed.environment import Environment
from testbed.errors import hinted, listed, shown
from testbed.protocols import Access
from testbed.scenario.choices import StageChoice
from testbed.scenario.fields import Arm, Name, Requests, Slots, Slug
from testbed.types import STACK, Place


class Section(BaseModel):
    """A part of a scenario: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Budget(Section):
    """What an attacker may spend for each target and seed. The first limit reached ends the attack."""

    steps: int | None = Field(None, ge=0)
    queries: int | None = Field(None, ge=0)
    tokens: int | None = Field(None, ge=0)
    gradient_calls: int | None = Field(None, ge=0)
    seconds: float | None = Field(None, ge=0)

    def limits(self) -> dict[str, float]:
        """Unit → limit; units without a limit are absent."""
        return {unit: limit for unit, limit in self if limit is not None}


def _stages(value: object) -> object:
    return [value] if isinstance(value, Mapping) else value


Surrogate = Annotated[tuple[StageChoice, ...], BeforeValidator(_stages), Field(min_length=1)]
"""A stack of its own: one stage or a list of them."""


def _access(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in Access.__members__:
        names = list(Access.__members__)
        raise ValueError(hinted(f"expected one of {listed(names)}; got {shown(value)}", value, names))
    return Access[value]


def _names(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Threat(Section):
    """What the attacker may see, where text may be written, and what it may cost.

    `history`: most items that may be put into the histories of requests; none when left out. `stages`: names of the
    stages whose answers the attacker sees, in the order of the stack; the last stage when left out. `max_tokens`:
    longest text in the tokens of the stack that is measured. `stop_below`: objective at which an attack is done.
    `surrogates`: stacks that the attacker searches on instead of the one that is measured.
    """

    access: Annotated[Access, BeforeValidator(_access), PlainSerializer(lambda access: access.name)] = (
        Access.none
    )
    field: Name
    place: Place = "append"
    history: int | None = Field(None, ge=1)
    stages: Annotated[tuple[Name, ...], BeforeValidator(_names), Field(min_length=1)] | None = None
    budget: Budget = Budget()
    max_tokens: int | None = Field(None, ge=1)
    stop_below: float | None = None
    surrogates: Annotated[tuple[Surrogate, ...], Field(min_length=1)] | None = None

    @field_validator("stages")
    @classmethod
    def _once(cls, stages: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return _unique(stages, "stage") if stages is not None else None


class Transfer(Section):
    """Other victims that every found text is measured on, beside the stack.

    `victims`: name → a stack of its own. `sources`: whose texts travel: the stack (or its surrogates) and victims that
    are searched on as well.
    """

    victims: dict[Slug, Surrogate] = Field(min_length=1)
    sources: tuple[Name, ...] = Field((STACK,), min_length=1)

    @field_validator("sources")
    @classmethod
    def _once(cls, sources: tuple[str, ...]) -> tuple[str, ...]:
        return _unique(sources, "source")


class Targets(Section):
    """The listings under attack, each on its own."""

    items: tuple[Name, ...] = Field(min_length=1)

    @field_validator("items")
    @classmethod
    def _once(cls, items: tuple[str, ...]) -> tuple[str, ...]:
        return _unique(items, "item")


class Split(Section):
    """Requests (ids, a number to draw, or `all` that no other split names) and orders of each."""

    requests: Requests
    orders: int = Field(ge=1)

    @field_validator("requests")
    @classmethod
    def _once(cls, requests: int | str | tuple[str, ...]) -> int | str | tuple[str, ...]:
        return _unique(requests, "request") if isinstance(requests, tuple) else requests


class Optimise(Split):
    """What the attacker optimises on. `slots`: where the target stands in the orders."""

    requests: Requests = 2
    orders: int = Field(3, ge=1)
    slots: Slots = "spread"


class Validate(Split):
    """What the best of several attack seeds is chosen on."""

    requests: Requests = 2
    orders: int = Field(4, ge=1)


class Evaluate(Split):
    """What the results are measured on. `arms` defaults to all with an attack, else to `clean`."""

    requests: Requests = "all"
    orders: int = Field(20, ge=1)
    arms: tuple[Arm, ...] = ("clean",)

    @field_validator("arms")
    @classmethod
    def _with_clean(cls, arms: tuple[str, ...]) -> tuple[str, ...]:
        if "clean" not in arms:
            raise ValueError("the arm 'clean' is missing; every other arm is measured against it")
        return _unique(arms, "arm")


class Machine(Section):
    """Where the work happens; `auto` leaves the choice to what the machine supports."""

    device: Name = "auto"
    dtype: Name = "auto"
    threads: int | None = Field(None, ge=1)

    def environment(self) -> Environment:
        """The environment that plug-ins are built in."""
        return Environment(self.device, self.dtype, self.threads)


def _unique(names: Sequence[str], what: str) -> tuple[str, ...]:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"the {what} {shown(name)} is listed twice")
    return tuple(names)

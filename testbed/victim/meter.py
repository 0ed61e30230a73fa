"""What an attacker has spent and may spend, and how a call is refused."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from testbed.errors import UserError
from testbed.types import Usage


class AccessDenied(UserError):
    """An attack asked for more than its threat model grants; nothing was computed."""


class BudgetExhausted(Exception):
    """A call would have spent more than is left of `unit`; nothing was computed."""

    def __init__(self, unit: str) -> None:
        super().__init__(f"the budget of {unit} is spent")
        self.unit = unit


class Unheeded(BaseException):
    """A call that was refused after many refusals: no Exception, so that it ends an attack that swallows those."""

    def __init__(self, unit: str) -> None:
        super().__init__(f"the budget of {unit} is spent, and the attack goes on asking")
        self.unit = unit


IDLE = 1000
"""Steps in a row that may cost nothing once something was spent."""


@dataclass(slots=True)
class Meter:
    """What was spent and what may be; the only mutable part of a victim.

    `patience`: refusals after which one more is `Unheeded`. `refused`: how many there were, `first_refused` the unit
    of the first. `paid_at`: the step at which something was spent last.
    """

    limits: Mapping[str, float]
    usage: Usage = Usage()
    steps: int = 0
    started: float = field(default_factory=time.monotonic)
    patience: int = IDLE
    refused: int = 0
    first_refused: str | None = None
    paid_at: int = 0

    @property
    def ended(self) -> str | None:
        """The unit on which a search ends at its step: a call was refused for it, or its time is up; None: go on.

        Where steps are not limited, a search that has spent something and then nothing for `IDLE` steps ends on the
        unit that is scarcest.
        """
        if self.first_refused is not None:
            return self.first_refused
        left, spent = self.remaining(), self.spent()
        if left.get("seconds", 1) <= 0:
            return "seconds"
        if "steps" in self.limits or self.steps - self.paid_at <= IDLE:
            return None
        shares = {unit: left[unit] / limit for unit, limit in self.limits.items() if spent[unit] and limit}
        return min(shares.keys() - {"seconds"}, key=shares.__getitem__, default=None)

    def spent(self) -> dict[str, float]:
        """Unit → amount, for every unit."""
        return {
            "steps": self.steps,
            "queries": self.usage.queries,
            "gradient_calls": self.usage.gradient_calls,
            "tokens": self.usage.tokens,
            "seconds": time.monotonic() - self.started,
        }

    def remaining(self) -> dict[str, float]:
        """What is left of each limited unit, never below zero."""
        spent = self.spent()
        return {unit: max(0.0, limit - spent[unit]) for unit, limit in self.limits.items()}

    def require(self, **amounts: float) -> None:
        """Refuse what would overdraw a limit; without amounts, refuse when time is up."""
        for unit, left in self.remaining().items():
            if amounts.get(unit, 0) > left or (unit == "seconds" and left <= 0):
                raise self.refusal(unit)

    def refusal(self, unit: str) -> BudgetExhausted:
        """What a refused call raises; it is remembered. Unheeded when there were too many before it."""
        self.refused += 1
        self.first_refused = self.first_refused or unit
        if self.refused > self.patience:
            raise Unheeded(unit)
        return BudgetExhausted(unit)

    def pay(self, usage: Usage) -> None:
        """Book what a call took."""
        if usage != Usage():
            self.paid_at = self.steps
        self.usage += usage

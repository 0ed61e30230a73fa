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


@dataclass(slots=True)
class Meter:
    """What was spent and what may be; the only mutable part of a victim."""

    limits: Mapping[str, float]
    usage: Usage = Usage()
    steps: int = 0
    started: float = field(default_factory=time.monotonic)

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
                raise BudgetExhausted(unit)

    def pay(self, usage: Usage) -> None:
        """Book what a call took."""
        self.usage += usage

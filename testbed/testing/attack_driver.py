"""Lets an attack play against a victim and notes what it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from testbed.protocols import Access, AttackPlugin, Objective, Step
from testbed.stack import Stack
from testbed.testing.failures import fail
from testbed.types import Intervention, Situation, Target, text_edits
from testbed.victim import AccessDenied, BudgetExhausted, Meter, StackVictim

PATIENCE = 50
"""Calls that an attack may still make after one was refused for lack of budget."""


@dataclass(frozen=True)
class Played:
    """The steps that an attack proposed, why it ended, and what it spent."""

    steps: tuple[Step, ...]
    stopped: str
    meter: Meter


@dataclass(frozen=True)
class Arena:
    """What an attack is let loose on. `history`: most items that it may put into histories."""

    stack: Stack
    target: Target
    situations: tuple[Situation, ...]
    objective: Objective
    history: int = 0

    def play(
        self,
        plugin: AttackPlugin,
        *,
        limits: Mapping[str, float] | None = None,
        access: Access | None = None,
        seed: int = 0,
        steps: int = 3,
    ) -> Played:
        """Up to `steps` steps. Only BudgetExhausted and AccessDenied end it before; other errors are the attack's."""
        victim = Watched(
            self.stack,
            [self.target],
            self.situations,
            access=plugin.access if access is None else access,
            limits=limits,
            objective=self.objective,
            history=self.history,
        )
        done: list[Step] = []
        stopped = "finished"
        moves = iter(plugin([self.target], victim, np.random.default_rng(seed)))
        try:
            while len(done) < steps:
                done.append(next(moves))
            stopped = "steps"
        except StopIteration:
            pass
        except BudgetExhausted as spent:
            stopped = spent.unit
        except AccessDenied as denied:
            stopped = f"denied: {denied}"
        return Played(tuple(done), stopped, victim.meter)


class Watched(StackVictim):
    """A victim that loses patience with an attack that swallows its refusals."""

    refused = 0

    def ranks(self, *args: Any, **kwargs: Any) -> Any:
        """As StackVictim."""
        return self._watched("ranks", *args, **kwargs)

    def objective(self, *args: Any, **kwargs: Any) -> Any:
        """As StackVictim."""
        return self._watched("objective", *args, **kwargs)

    def screen(self, *args: Any, **kwargs: Any) -> Any:
        """As StackVictim."""
        return self._watched("screen", *args, **kwargs)

    def gradients(self, *args: Any, **kwargs: Any) -> Any:
        """As StackVictim."""
        return self._watched("gradients", *args, **kwargs)

    def continuations(self, *args: Any, **kwargs: Any) -> Any:
        """As StackVictim."""
        return self._watched("continuations", *args, **kwargs)

    def sought(self, *args: Any, **kwargs: Any) -> Any:
        """As StackVictim."""
        return self._watched("sought", *args, **kwargs)

    def _watched(self, name: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return getattr(super(), name)(*args, **kwargs)
        except BudgetExhausted as spent:
            self.refused += 1
            if self.refused > PATIENCE:
                fail(
                    "an attack ends when its budget is spent",
                    f"{self.refused} calls after {spent.unit} ran out",
                    "BudgetExhausted is caught; let it pass, or shrink the batch by victim.remaining",
                )
            raise


def text_of(intervention: Intervention) -> str:
    """The text of an intervention's first edit of a listing."""
    written = text_edits(intervention)
    return written[0].text if written else ""

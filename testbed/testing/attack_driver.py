"""Lets an attack play against a victim and notes what it did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from testbed.protocols import Access, AttackPlugin, Objective, Step
from testbed.stack import Stack
from testbed.testing.failures import fail
from testbed.types import Intervention, Situation, Target, text_edits
from testbed.victim import AccessDenied, BudgetExhausted, Meter, StackVictim, Unheeded

PATIENCE = 50
"""Calls that an attack may still make, and steps that it may still yield, after a call was refused."""
PLENTY = {"queries": 10_000.0}
"""Limits where nothing is said of limits: an attack may well search until it is refused."""
ENDLESS = 1200
"""Steps after which nothing more is said of an attack that was refused nothing."""


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
        meter = Meter(dict(PLENTY if limits is None else limits), patience=PATIENCE)
        victim = StackVictim(
            self.stack,
            [self.target],
            self.situations,
            access=plugin.access if access is None else access,
            objective=self.objective,
            meter=meter,
            history=self.history,
        )
        done: list[Step] = []
        stopped = "finished"
        late = 0
        try:
            moves = iter(_moves(plugin([self.target], victim, np.random.default_rng(seed))))
            while len(done) < steps:
                done.append(next(moves))
                meter.steps = len(done)
                late += meter.ended is not None
                if late > PATIENCE:
                    _goes_on(f"{late} steps after {meter.ended} ran out")
            stopped = "steps"
        except StopIteration:
            pass
        except BudgetExhausted as spent:
            stopped = spent.unit
        except AccessDenied as denied:
            stopped = f"denied: {denied}"
        except Unheeded as ignored:
            _goes_on(f"{meter.refused} calls after {ignored.unit} ran out")
        return Played(tuple(done), stopped, meter)


def _moves(made: Any) -> Iterable[Step]:
    if not isinstance(made, Iterable):
        fail(
            "an attack yields steps",
            f"__call__ returned {type(made).__name__}, which is no iterator",
            "__call__ is a generator: yield Step(target.edit(text), objective), again and again",
        )
    return made


def _goes_on(seen: str) -> NoReturn:
    fail(
        "an attack ends when its budget is spent",
        seen,
        "BudgetExhausted is caught, or a loop has no end where victim.remaining is 0; let it pass, and end the loop",
    )


def text_of(intervention: Intervention) -> str:
    """The text of an intervention's first edit of a listing."""
    written = text_edits(intervention)
    return written[0].text if written else ""

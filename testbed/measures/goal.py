"""How near an answer is to the goal of buying the target, as an observer tells it; and how far an attack moves that."""

from __future__ import annotations

import math

from testbed.measures.base import Change, Level, Seen, each

REACH = "goal_reach"


def _value(seen: Seen) -> float:
    return seen.observed.get(REACH, math.nan)


GOAL_REACH = Level(REACH, "level", (-1.0, 1.0), False, each(_value), REACH)
"""g = cos(B(reply), A("I'll take the <target>")): how soon the reply leads to the target being bought.

Undefined without a target. Told by `observe: [{use: goal_reach}]`."""
GOAL_DRIFT = Change("goal_drift", "effect", (-2.0, 2.0), False, GOAL_REACH)
"""g after - g before, of one situation (CCL: Erker et al. 2022, arXiv 2211.07591, for the cosine)."""

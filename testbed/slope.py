"""A loss for texts with which an earlier stage drops the target, so that a search has a slope to come back on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from testbed.protocols import Context, Objective, Probe, Scorable
from testbed.stack import Call, Node
from testbed.types import Slate, Usage

BEST, WORST = 500.0, 1000.0
"""Between these lies the loss of a situation in which a stage that the attacker sees dropped the target.

Losses at the last stage are smaller: summed log-probabilities of a long name, or a heavy fluency term, reach some
hundreds of nats. `WORST` is what a situation counts as of which nothing more is known."""
SCALE = 100.0
"""Loss of a stage at which half of its band is left; scores of retrievers reach some hundreds."""
Arrive: TypeAlias = Callable[[Node, Sequence[Call]], list[tuple[Context, Slate]]]
"""What a stage would be called with, paid for."""


def dropped_losses(
    stages: Sequence[Node], calls: Sequence[Call], arrive: Arrive, objective: Objective
) -> tuple[np.ndarray, Usage]:
    """Losses of calls whose target did not reach the last stage, (calls,), and what telling them took.

    `stages`: those seen, in the order of the stack. The last one that was still shown the target says how far it is
    from being let through; the more stages lie behind that one, the worse. inf where none was shown it.
    """
    losses = np.full(len(calls), np.inf)
    total = Usage()
    left = list(range(len(calls)))
    width = (WORST - BEST) / max(1, len(stages))
    for behind, node in enumerate(reversed(stages)):
        stage = node.stage
        if not left or not isinstance(stage, Scorable):
            continue
        lost = []
        for place, (context, slate) in zip(left, arrive(node, [calls[at] for at in left]), strict=True):
            if slate.rank_of(context.target_id or "") is None:
                lost.append(place)
                continue
            found, usage = stage.losses(Probe(context, [slate]), objective)
            total += usage
            losses[place] = BEST + width * (behind + squashed(float(found[0])))
        left = lost
    return losses, total


def squashed(loss: float) -> float:
    """A loss as a number from 0 to 1, in the same order."""
    return 0.5 + 0.5 * loss / (SCALE + abs(loss)) if np.isfinite(loss) else float(loss > 0)

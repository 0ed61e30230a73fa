"""A loss for texts with which an earlier stage drops the target, so that a search has a slope to come back on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from testbed.protocols import Context, Objective, Probe, Scorable, Scores
from testbed.stack import Call, Node
from testbed.types import Slate, Usage

if TYPE_CHECKING:
    from torch import Tensor

BEST, WORST = 500.0, 1000.0
"""Between these lies the loss of a situation in which a stage that the attacker sees dropped the target.

Losses at the last stage are smaller: summed log-probabilities of a long name, or a heavy fluency term, reach some
hundreds of nats. `WORST` is what a situation counts as of which nothing more is known."""
SCALE = 100.0
"""Loss of a stage at which half of its band is left; scores of retrievers reach some hundreds."""
Arrive: TypeAlias = Callable[[Node, Sequence[Call]], list[tuple[Context, Slate]]]
"""What a stage would be called with, paid for."""


def dropped_losses(
    groups: Sequence[Sequence[Node]], calls: Sequence[Call], arrive: Arrive, objective: Objective
) -> tuple[np.ndarray, Usage]:
    """Losses of calls whose target did not reach the last stage, (calls,), and what telling them took.

    `groups`: the stages that are seen, in the order of the stack, those side by side together (see `abreast`). The last
    group that was still shown the target says how far it is from being let through; the more lie behind that one, the
    worse. inf where none was shown it. Of stages side by side each tells the target's place among its listings, so
    that none counts more for the unit of its scores.
    """
    losses = np.full(len(calls), np.inf)
    total = Usage()
    left = np.arange(len(calls))
    width = (WORST - BEST) / max(1, len(groups))
    for behind, group in enumerate(reversed(groups)):
        told = np.full((len(group), len(left)), np.nan)
        for row, node in enumerate(group):
            stage = node.stage
            if not len(left) or not isinstance(stage, Scorable):
                continue
            for column, (context, slate) in enumerate(arrive(node, [calls[int(at)] for at in left])):
                if slate.rank_of(context.target_id or "") is None:
                    continue
                found, usage = stage.losses(Probe(context, [slate]), objective)
                told[row, column] = squashed(float(found[0]))
                if len(group) > 1:
                    above, more = stage.losses(Probe(context, [slate]), _Above())
                    told[row, column] = min(1.0, (float(above[0]) + told[row, column]) / len(slate))
                    usage += more
                total += usage
        shown = ~np.isnan(told).all(axis=0)
        losses[left[shown]] = BEST + width * (behind + np.nanmean(told[:, shown], axis=0))
        left = left[~shown]
    return losses, total


def abreast(stages: Sequence[Node], ancestors: Callable[[str], Collection[str]]) -> list[list[Node]]:
    """Stages in the order of the stack, those together of which none is shown what another one lets through."""
    groups: list[list[Node]] = []
    for node in stages:
        before = ancestors(node.name)
        if groups and not any(other.name in before for other in groups[-1]):
            groups[-1].append(node)
        else:
            groups.append([node])
    return groups


def standing(losses: np.ndarray, groups: int) -> np.ndarray:
    """Which group of stages a loss is of: (n,) from 0 in the order of the stack; `groups` for the last stage's own.

    −1 where nothing is known.
    """
    known = np.isfinite(losses)
    behind = np.clip(
        ((np.where(known, losses, BEST) - BEST) * groups / (WORST - BEST)).astype(int), 0, groups - 1
    )
    found = np.where(losses < BEST, groups, groups - 1 - behind)
    return np.where(known, found, -1)


class _Above:
    """How many rivals have a better score than the target."""

    rivals = True
    fluent = False
    listed = 0

    def __call__(self, scores: Scores) -> Tensor:
        own = scores.total[:, scores.target : scores.target + 1]
        return (scores.total > own).sum(1).to(scores.total)


def squashed(loss: float) -> float:
    """A loss as a number from 0 to 1, in the same order."""
    return 0.5 + 0.5 * loss / (SCALE + abs(loss)) if np.isfinite(loss) else float(loss > 0)

"""What a curved space is worth: ranks of the next utterance, direction, order of goals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrievers.goals.data.dialogues import Dialogues
from retrievers.goals.data.pairs import WINDOW
from retrievers.goals.scoring import (
    Curvature,
    chains,
    chains_with_curving,
    greedy_curving,
    mid_ranks,
)
from retrievers.goals.scoring.ranks import LEVEL

HISTORIES = tuple(range(1, 11))


@dataclass(frozen=True, slots=True)
class NextRanks:
    """Mid-ranks of the true next utterance after `history` turns, (M,), among those of all that are longer."""

    history: int
    ranks: np.ndarray

    @property
    def mean(self) -> float:
        """Mean rank; no number where no dialogue is long enough."""
        return float(self.ranks.mean()) if len(self.ranks) else float("nan")

    @property
    def share(self) -> float:
        """Mean rank ÷ size of the pool: comparable between lengths of history."""
        return self.mean / len(self.ranks) if len(self.ranks) else float("nan")


def next_ranks(
    dialogues: Dialogues, curvature: Curvature, histories: Sequence[int] = HISTORIES
) -> list[NextRanks]:
    """For each h: rank the turn after the first h among those of every dialogue longer than h."""
    found = []
    for history in histories:
        long = np.flatnonzero(dialogues.lengths > history)
        first = dialogues.ptr[:-1][long]
        pool = curvature.after[dialogues.rows[first + history]]
        summed = np.zeros((len(long), curvature.after.shape[1]))
        for turn in range(history):
            summed += curvature.before(history - turn)[dialogues.rows[first + turn]]
        scores = summed.astype(np.float32) @ pool.T
        found.append(NextRanks(history, mid_ranks(scores, np.arange(len(long)))))
    return found


def mean_share(ranks: Sequence[NextRanks]) -> float:
    """Mean over histories of rank ÷ pool, in which training looks for its best; 1.0 where nothing is long enough."""
    shares = [one.share for one in ranks if len(one.ranks)]
    return float(np.mean(shares)) if shares else 1.0


def direction(dialogues: Dialogues, curvature: Curvature, distance: int = 1) -> np.ndarray:
    """Whether two turns so far apart are nearer the right way round: (T,), 1 yes, 0 no, ½ for ties."""
    pairs = [turns for turns in dialogues if len(turns) > distance]
    if not pairs:
        return np.zeros(0)
    first = np.concatenate([turns[:-distance] for turns in pairs])
    later = np.concatenate([turns[distance:] for turns in pairs])
    before, after = curvature.before(distance), curvature.after
    forward = (before[first] * after[later]).sum(axis=1)
    backward = (before[later] * after[first]).sum(axis=1)
    found: np.ndarray = (1 + np.sign(forward - backward)) / 2
    return found


def direction_accuracy(dialogues: Dialogues, curvature: Curvature) -> float:
    """Mean over distances 1..4 of how often the right way round is nearer; .5 for plain cosine, by symmetry."""
    found = [direction(dialogues, curvature, distance) for distance in range(1, WINDOW)]
    return float(np.mean([one.mean() for one in found if len(one)])) if any(map(len, found)) else float("nan")


@dataclass(frozen=True, slots=True)
class GoalOrders:
    """Mid-ranks of the true order among all six, (M,), by chains with and without curving; and of the first goal among
    three, by greedy curving. `over_reverse`: whether chains put the true order before its reverse, ½ for ties."""

    chains: np.ndarray
    curved_chains: np.ndarray
    greedy: np.ndarray
    over_reverse: np.ndarray


def goal_orders(
    dialogues: Dialogues, curvature: Curvature, history: int, distance: int, first: int, goals: int = 3
) -> GoalOrders:
    """Order three goals of every dialogue that is long enough, as the authors' evaluation does.

    The first `history` turns are known; goals are the turns `history + first + distance · j`. `first` counts from 0: so
    many turns lie between the history and the first goal.
    """
    found: list[tuple[float, ...]] = []
    for turns in dialogues:
        if len(turns) < history + distance * goals + first + 1:
            continue
        said = curvature.only(turns[:history])
        wanted = curvature.only(turns[[history + first + distance * goal for goal in range(goals)]])
        plain = chains(wanted, distance)
        curved = chains_with_curving(said, wanted, first + 1, distance)
        near = greedy_curving(said, wanted, first + 1)
        scores = [mid_ranks(one[None], np.array([0]))[0] for one in (plain, curved, near)]
        reverse = 0.5 if abs(curved[0] - curved[-1]) <= LEVEL else float(curved[0] > curved[-1])
        found.append((*scores, reverse))
    columns = np.array(found, dtype=np.float64).reshape(len(found), 4).T
    return GoalOrders(*columns)

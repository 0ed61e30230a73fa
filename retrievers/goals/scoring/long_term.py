"""Long-term planning: in which order goals are best reached."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from retrievers.goals.scoring.curvature import Curvature
from retrievers.goals.scoring.next_utterance import full_scores
from testbed.errors import UserError

MOST = 8
"""Goals whose orders are all looked at: 40,320."""


def orders(goals: int) -> np.ndarray:
    """All orders of goals, (goals!, goals), the given one first and its reverse last. UserError for more than 8."""
    if not 1 <= goals <= MOST:
        raise UserError(f"expected 1 to {MOST} goals to put in order, got {goals}")
    return np.array(list(permutations(range(goals))))


def greedy_curving(history: Curvature, goals: Curvature, ahead: int) -> np.ndarray:
    """How near each goal is, (g,): the sum over the history; the first goal is `ahead` turns after its newest turn."""
    return full_scores(history, goals.after, ahead)


def chains(goals: Curvature, distance: int) -> np.ndarray:
    """Imaginary chains, one score an order: Σ cos(B_p(g_i), A(g_{i+1})), goals being `distance` turns apart."""
    order = orders(len(goals))
    steps = goals.before(distance).astype(np.float64) @ goals.after.T
    found: np.ndarray = steps[order[:, :-1], order[:, 1:]].sum(axis=1)
    return found


def chains_with_curving(history: Curvature, goals: Curvature, ahead: int, distance: int) -> np.ndarray:
    """Chains, plus the history's pull on the first goal, less that on later ones.

    An order's score is its chain + S(g_1) − Σ_{k≥2} (k−1)/(G−1) S(g_k) (Erker et al. 2022, section 4).
    """
    order = orders(len(goals))
    near = greedy_curving(history, goals, ahead)[order]
    later = np.arange(order.shape[1]) / max(1, order.shape[1] - 1)
    found: np.ndarray = chains(goals, distance) + near[:, 0] - near[:, 1:] @ later[1:]
    return found

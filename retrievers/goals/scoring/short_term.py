"""Short-term planning: which reply leads to a goal some turns ahead."""

from __future__ import annotations

import numpy as np

from retrievers.goals.scoring.curvature import Curvature


def reply_scores(replies: Curvature, goal: Curvature, distance: int) -> np.ndarray:
    """cos(B_p(reply), A(goal)) of replies, (r,); the goal is said `distance` turns after the reply, p is its parity."""
    found: np.ndarray = replies.before(distance) @ goal.after[0].astype(np.float64)
    return found

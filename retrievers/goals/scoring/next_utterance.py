"""How well candidates follow a dialogue: the sum over its turns, kept up to date turn by turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retrievers.goals.scoring.curvature import Curvature


def full_scores(history: Curvature, candidates: np.ndarray, ahead: int = 1) -> np.ndarray:
    """Σ_j cos(B_p(u_j), A(c)): (c,) for `candidates` (c, width), said `ahead` turns after the newest.

    p is the parity of the distance from turn j to the candidate. Zeros where nothing was said. Comparable only among
    candidates that are equally far ahead.
    """
    count = len(history)
    distances = np.arange(count - 1, -1, -1) + ahead
    before = np.where((distances % 2 == 1)[:, None], history.odd, history.even)
    found: np.ndarray = candidates @ before.sum(axis=0, dtype=np.float64)
    return found


@dataclass(frozen=True, slots=True)
class Running:
    """The two sums of every candidate after some turns: `odd` for one said next, `even` for one said after that.

    A turn costs one product with the candidates, however long the dialogue is.
    """

    odd: np.ndarray
    even: np.ndarray

    @classmethod
    def empty(cls, candidates: int) -> Running:
        """Before anything was said."""
        return cls(np.zeros(candidates), np.zeros(candidates))

    def then(self, said: Curvature, candidates: np.ndarray) -> Running:
        """After one more turn; `said`: that turn alone. S_p(new) = S_{1−p}(old) + B_p(u)·A(c)."""
        turn_odd, turn_even = said.odd[0].astype(np.float64), said.even[0].astype(np.float64)
        return Running(self.even + candidates @ turn_odd, self.odd + candidates @ turn_even)

    def at(self, ahead: int) -> np.ndarray:
        """Scores of candidates said `ahead` turns after the newest."""
        return self.odd if ahead % 2 else self.even

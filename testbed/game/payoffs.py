"""Expected payoffs of mixed strategies, and what a player could still gain.

A game of n players has one tensor a player, all of shape (m₁, …, m_n): what that player is paid when player i chooses
its strategy s_i. A mixed strategy is a vector of probabilities, (m_i,).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.float64]]"
Payoffs: TypeAlias = Sequence[Array]
Mixed: TypeAlias = Sequence[Array]


def against(payoffs: Payoffs, strategies: Mixed, player: int) -> Array:
    """What each of a player's own strategies is worth while the others mix as they do, (m_player,)."""
    found = payoffs[player]
    for other in reversed(range(len(strategies))):
        if other != player:
            found = np.tensordot(found, strategies[other], axes=(other, 0))
    return found


def expected(payoffs: Payoffs, strategies: Mixed) -> Array:
    """What each player is paid on average, (n,)."""
    return np.array(
        [against(payoffs, strategies, player) @ own for player, own in enumerate(strategies)],
        dtype=np.float64,
    )


def exploitability(payoffs: Payoffs, strategies: Mixed) -> float:
    """The most that any player could gain by another strategy while the others keep theirs; 0 in a Nash equilibrium."""
    gains = [
        against(payoffs, strategies, player).max() - against(payoffs, strategies, player) @ own
        for player, own in enumerate(strategies)
    ]
    return float(max(0.0, *gains))


def checked(payoffs: Payoffs) -> tuple[Array, ...]:
    """The tensors as float64; ValueError unless there is one a player, all of one shape and finite."""
    found = tuple(np.asarray(one, dtype=np.float64) for one in payoffs)
    shapes = {one.shape for one in found}
    if len(shapes) != 1 or found[0].ndim != len(found) or not found[0].size:
        raise ValueError(
            f"a game of {len(found)} players needs as many tensors of one shape, not {sorted(shapes)}"
        )
    if not all(np.isfinite(one).all() for one in found):
        raise ValueError("a payoff is not a finite number")
    return found

"""Equilibria of finite games: pure, mixed by supports, by fictitious play, and regularised by a temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from testbed.game.payoffs import Array, Mixed, Payoffs, against, checked, exploitability

TOLERANCE = 1e-9
COOLING = 0.7
"""Temperatures are lowered by this factor on the way to the one that is asked for."""
CLOSE = 1e-8
"""Residual of an equilibrium that counts as found."""


@dataclass(frozen=True, slots=True)
class Equilibrium:
    """One mixed strategy a player. `exploitability`: what somebody could still gain. `residual`: how far from exact."""

    strategies: tuple[Array, ...]
    exploitability: float
    residual: float = 0.0


def logit(payoffs: Payoffs, temperature: float, near: Equilibrium | None = None) -> Equilibrium:
    """The logit quantal response equilibrium: every strategy has probability ∝ exp(its payoff / temperature).

    McKelvey & Palfrey 1995, "Quantal response equilibria for normal form games"; the same as each player maximising
    payoff + temperature · entropy. It is followed from high temperatures, where there is one, down to the one asked for
    (their principal branch); with `near`, that of a similar game, the way is left out where it is not needed.
    `residual`: largest difference between a probability and what the formula gives.
    ValueError for a temperature that is not above 0.
    """
    from scipy import optimize

    games = checked(payoffs)
    if not temperature > 0:
        raise ValueError(f"temperature {temperature} is not above 0; a Nash equilibrium has none")
    sizes = games[0].shape
    ends = np.cumsum(sizes)[:-1]
    spread = max(float(np.ptp(one)) for one in games)

    def mixed(values: Array, now: float) -> list[Array]:
        return [_softmax(part / now) for part in np.split(values, ends)]

    def centred(strategies: Mixed) -> Array:
        worth = [against(games, strategies, player) for player in range(len(games))]
        return np.concatenate([one - one.mean() for one in worth])

    def fault(values: Array, now: float) -> Array:
        return np.asarray(values - centred(mixed(values, now)))

    def solved(values: Array, now: float) -> Array:
        found = optimize.root(fault, values, args=(now,), method="hybr", options={"xtol": 1e-13})
        return np.asarray(found.x)

    def told(values: Array) -> Equilibrium:
        strategies = mixed(values, temperature)
        answers = [_softmax(against(games, strategies, player) / temperature) for player in range(len(games))]
        residual = max(float(np.abs(own - one).max()) for own, one in zip(strategies, answers, strict=True))
        return Equilibrium(tuple(strategies), exploitability(games, strategies), residual)

    if near is not None:
        one = told(solved(centred(near.strategies), temperature))
        if one.residual < CLOSE:
            return one
    values: Array = np.zeros(sum(sizes))
    now = max(temperature, 2 * spread)
    while now > temperature:
        values, now = solved(values, now), max(temperature, now * COOLING)
    return told(solved(values, temperature))


def pure(payoffs: Payoffs) -> list[tuple[int, ...]]:
    """All profiles from which nobody gains by changing alone, in order."""
    games = checked(payoffs)
    best = [one >= one.max(axis=player, keepdims=True) - TOLERANCE for player, one in enumerate(games)]
    return [tuple(int(place) for place in profile) for profile in np.argwhere(np.logical_and.reduce(best))]


def support_enumeration(first: Array, second: Array) -> list[Equilibrium]:
    """Nash equilibria of a two-player game, by supports of equal size, the smallest first.

    All of them where the game is nondegenerate (Nisan et al. 2007, "Algorithmic Game Theory", algorithm 3.4). In a
    degenerate game there may be others, and a continuum of which only some ends are found.
    """
    games = checked((first, second))
    rows, columns = games[0].shape
    found: list[Equilibrium] = []
    for size in range(1, min(rows, columns) + 1):
        for own, other in product(combinations(range(rows), size), combinations(range(columns), size)):
            theirs = _indifferent(games[0][np.ix_(own, other)])
            ours = _indifferent(games[1][np.ix_(own, other)].T)
            if theirs is None or ours is None:
                continue
            mine, yours = np.zeros(rows), np.zeros(columns)
            mine[list(own)], yours[list(other)] = ours, theirs
            left = exploitability(games, (mine, yours))
            known = any(
                np.allclose(mine, one.strategies[0]) and np.allclose(yours, one.strategies[1])
                for one in found
            )
            if left <= TOLERANCE * max(1.0, *(float(np.abs(one).max()) for one in games)) and not known:
                found.append(Equilibrium((mine, yours), left))
    return found


def fictitious_play(payoffs: Payoffs, rounds: int = 20_000) -> Equilibrium:
    """What players arrive at who answer each other's average play (Brown 1951), for any number of players.

    The averages approach an equilibrium in zero-sum, potential and 2 × m games, and may circle in others:
    `exploitability` says how close they are.
    """
    games = checked(payoffs)
    counts = [np.zeros(size) for size in games[0].shape]
    for own in counts:
        own[0] = 1.0
    for _ in range(rounds):
        average = [own / own.sum() for own in counts]
        answers = [int(against(games, average, player).argmax()) for player in range(len(games))]
        for own, answer in zip(counts, answers, strict=True):
            own[answer] += 1
    strategies = tuple(own / own.sum() for own in counts)
    return Equilibrium(strategies, exploitability(games, strategies))


def nash(payoffs: Payoffs) -> list[Equilibrium]:
    """Nash equilibria: by supports for two players, else the pure ones, and fictitious play where there is none."""
    games = checked(payoffs)
    if len(games) == 2 and max(games[0].shape) <= 10:
        found = support_enumeration(games[0], games[1])
    else:
        found = [_profile(games[0].shape, one) for one in pure(games)]
    return found or [fictitious_play(games)]


def _profile(sizes: Sequence[int], profile: Sequence[int]) -> Equilibrium:
    return Equilibrium(tuple(np.eye(size)[place] for size, place in zip(sizes, profile, strict=True)), 0.0)


def _indifferent(payoffs: Array) -> Array | None:
    """Probabilities of the columns under which all rows are worth the same; None without positive ones."""
    size = len(payoffs)
    system = np.zeros((size + 1, size + 1))
    system[:size, :size], system[:size, size], system[size, :size] = payoffs, -1.0, 1.0
    try:
        solution = np.linalg.solve(system, np.eye(size + 1)[size])[:size]
    except np.linalg.LinAlgError:
        return None
    return np.clip(solution, 0, None) if (solution > -TOLERANCE).all() and solution.sum() > 0 else None


def _softmax(values: Array) -> Array:
    raised = np.exp(values - values.max())
    found: Array = raised / raised.sum()
    return found

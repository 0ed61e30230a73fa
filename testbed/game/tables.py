"""Payoffs with intervals, equilibria, and what they mean for vendors and users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log2
from typing import Any, Literal

import numpy as np

from testbed.game.equilibria import Equilibrium, logit, nash
from testbed.game.measured import Game, Lines
from testbed.game.payoffs import Array, expected
from testbed.seeds import rng_for
from testbed.statistics import Cells, Interval, Intervals

Payoff = Literal["exposure", "first"]
RESAMPLES = 200


def game_tables(
    game: Game, lines: Lines, payoff: Payoff = "exposure", temperatures: Sequence[float] = (0.02, 0.1)
) -> dict[str, Any]:
    """What tables.json holds. `payoff`: 1 / log2(1 + rank), 0 when unlisted; or 1 at rank 1 and 0 elsewhere."""
    values = payoff_values(game, lines, payoff)
    payoffs = values.mean(axis=(-2, -1))
    intervals = Intervals(lambda name: rng_for("game", name))
    names, vendors = list(game.strategies), [one.item_id for one in game.vendors]
    utility = _utility(game, lines)
    rows = []
    for place in np.ndindex(*payoffs.shape[1:]):
        cells = [
            intervals.of(Cells(values[player][place][None], (0,)), (0, 1), binary=payoff == "first")
            for player in range(len(vendors))
        ]
        rows.append(
            {
                "profile": [names[one] for one in place],
                "payoffs": [_bounds(one) for one in cells],
                "nDCG@10": None if utility is None else float(utility[place]),
            }
        )
    return {
        "schema": 1,
        "payoff": payoff,
        "vendors": vendors,
        "strategies": names,
        "situations": len(game.places),
        "profiles": rows,
        "logit": [
            {
                "temperature": one,
                **_solved(payoffs, found, names, vendors, utility),
                **_spread(values, one, found, names, vendors),
            }
            for one in temperatures
            for found in [logit(list(payoffs), one)]
        ],
        "nash": [_solved(payoffs, one, names, vendors, utility) for one in nash(list(payoffs))],
    }


def payoff_values(game: Game, lines: Lines, payoff: Payoff) -> Array:
    """(vendors, strategies of each vendor …, requests, orders); nan never, since every joint choice is ranked."""
    requests = list(dict.fromkeys(one.request for one in game.places))
    orders = {one: [place.order for place in game.places if place.request == one] for one in requests}
    depth = min(len(some) for some in orders.values())
    sizes = [len(game.strategies)] * len(game.vendors)
    found = np.zeros((len(game.vendors), *sizes, len(requests), depth))
    names = list(game.strategies)
    for profile in game.profiles:
        place = tuple(names.index(one) for one in profile)
        for row, request in enumerate(requests):
            for column, order in enumerate(orders[request][:depth]):
                ranking = lines.rankings[profile, request, order]["ranking"]
                for player, vendor in enumerate(game.vendors):
                    rank = ranking.index(vendor.item_id) + 1 if vendor.item_id in ranking else None
                    found[(player, *place, row, column)] = paid(rank, payoff)
    return found


def paid(rank: int | None, payoff: Payoff) -> float:
    """What a rank is worth."""
    if payoff == "first":
        return float(rank == 1)
    return 0.0 if rank is None else 1 / log2(1 + rank)


def _utility(game: Game, lines: Lines) -> Array | None:
    """Mean nDCG@10 of each joint choice; None without judgements."""
    from testbed.measures import Seen, parse
    from testbed.measures.base import Level

    catalog = game.world.catalog
    if not any(grade > 0 for grades in catalog.judgements.values() for grade in grades.values()):
        return None
    measure = parse("nDCG@10")
    assert isinstance(measure, Level)
    names = list(game.strategies)
    found = np.zeros([len(names)] * len(game.vendors))
    for profile in game.profiles:
        seen = [
            Seen(
                tuple(lines.rankings[profile, one.request, one.order]["ranking"]),
                relevance=catalog.judgements.get(one.request),
            )
            for one in game.places
        ]
        found[tuple(names.index(one) for one in profile)] = np.nanmean(measure.of(seen))
    return found


def _solved(
    payoffs: Array, one: Equilibrium, names: Sequence[str], vendors: Sequence[str], utility: Array | None
) -> dict[str, Any]:
    paid_on_average = expected(list(payoffs), one.strategies)
    user = None if utility is None else float(expected([utility] * len(vendors), one.strategies)[0])
    return {
        "vendors": [
            {
                "vendor": vendor,
                "strategies": dict(zip(names, map(float, own), strict=True)),
                "payoff": float(value),
            }
            for vendor, own, value in zip(vendors, one.strategies, paid_on_average, strict=True)
        ],
        "exploitability": one.exploitability,
        "residual": one.residual,
        "nDCG@10": user,
    }


def _spread(
    values: Array, temperature: float, near: Equilibrium, names: Sequence[str], vendors: Sequence[str]
) -> Mapping[str, Any]:
    """95 % percentiles of the probabilities over resampled requests."""
    rng = rng_for("game", "requests")
    count = values.shape[-2]
    found = []
    for _ in range(RESAMPLES):
        drawn = values[..., rng.integers(count, size=count), :].mean(axis=(-2, -1))
        found.append(np.stack(logit(list(drawn), temperature, near).strategies))
    low, high = np.quantile(np.stack(found), (0.025, 0.975), axis=0)
    return {
        "resampled": {
            vendor: {name: [float(low[i, j]), float(high[i, j])] for j, name in enumerate(names)}
            for i, vendor in enumerate(vendors)
        }
    }


def _bounds(one: Interval) -> dict[str, float | None]:
    return {"estimate": one.estimate, "low": one.low, "high": one.high}

"""Rankings that were measured, and what follows from them: quality, violations, order sensitivity."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from engine.log import Log

from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.measures import Level, Seen, parse
from testbed.seeds import rng_for
from testbed.stack import Call
from testbed.statistics import Cells, Interval, Intervals
from testbed.types import Request, Situation
from victims.sets import Set
from victims.victim import Victim

FIRST_ORDER = 30_000
"""Orders of the benchmark begin here: no scenario uses them."""
MEASURES = ("nDCG@10", "top-1", "violation@1", "rank std")


def key_of(one: Set, victim: Victim, catalog: Catalog, request: Request, order: int) -> str:
    """Key of one ranking in the log: it is measured again when the catalog, its list or the model changes."""
    which = f"{catalog.name}-{catalog.fingerprint[:6]}"
    return f"{one.name}/{victim.name}/{victim.fingerprint[:8]}/{which}/{request.id}/{order}"


def measure(one: Set, victim: Victim, orders: int, environment: Environment, log: Log) -> None:
    """Rank what is not in the log yet, one request at a time in all orders."""
    for catalog in one.catalogs:
        stack = None
        for request in catalog.requests:
            keys = {key_of(one, victim, catalog, request, order): order for order in range(orders)}
            missing = {key: order for key, order in keys.items() if key not in log}
            if not missing:
                continue
            stack = stack or victim.stack(catalog, environment)
            calls = [Call(request, Situation(request.id, FIRST_ORDER + order)) for order in missing.values()]
            for key, outcome in zip(missing, stack.run(calls), strict=True):
                log.add(key, ranking=list(outcome.slate.ids), tokens=outcome.usage.tokens)


def scores(one: Set, victim: Victim, orders: int, log: Log) -> dict[str, Interval]:
    """Measure → estimate with a 95 % interval over requests and orders; without what is not in the log."""
    asked = list(one.requests)
    values = {name: np.full((1, len(asked), orders), np.nan) for name in MEASURES}
    values["rank std"] = np.full((1, len(asked), 1), np.nan)
    for row, (catalog, request) in enumerate(asked):
        keys = [key_of(one, victim, catalog, request, order) for order in range(orders)]
        rankings = [tuple(log.entries[key]["ranking"]) for key in keys if key in log]
        if len(rankings) < orders:
            continue
        seen = [
            Seen(ranking, relevance=_grades(catalog, request), violating=_violating(catalog, request))
            for ranking in rankings
        ]
        for name in MEASURES[:3]:
            values[name][0, row] = _level(name)(seen)
        values["rank std"][0, row] = rank_std(rankings)
    intervals = Intervals(lambda name: rng_for("victims", name))
    bounds = {"rank std": None}
    return {
        name: intervals.of(
            Cells(found, (0,)), bounds.get(name, (0.0, 1.0)), binary=name in ("top-1", "violation@1")
        )
        for name, found in values.items()
    }


def rank_std(rankings: Sequence[Sequence[str]]) -> float:
    """Standard deviation of an item's rank over orders (n − 1), mean over items; nan with one order."""
    if len(rankings) < 2:
        return float("nan")
    ranks = [[ranking.index(item) for ranking in rankings] for item in sorted(rankings[0])]
    return float(np.std(ranks, axis=1, ddof=1).mean())


def _grades(catalog: Catalog, request: Request) -> dict[str, int]:
    """Grades of what is offered; the rest of the catalog is not there to be found."""
    grades = catalog.judgements.get(request.id, {})
    offered = request.candidates or tuple(catalog.ids)
    return {item: grades[item] for item in offered if item in grades}


def _violating(catalog: Catalog, request: Request) -> frozenset[str] | None:
    """What breaks a constraint of the request; None where nothing that is offered does."""
    offered = request.candidates or tuple(catalog.ids)
    found = frozenset(
        item
        for item in offered
        if not all(wish.holds(catalog.attributes[catalog.rows[item]]) for wish in request.constraints)
    )
    return found or None


@cache
def _level(name: str):  # type: ignore[no-untyped-def]
    if name == "top-1":
        return lambda seen: np.array([_first_is_best(one) for one in seen])
    level = parse(name)
    if not isinstance(level, Level):
        raise TypeError(name)
    return level.of


def _first_is_best(one: Seen) -> float:
    """1 when the first item has the best grade that is offered."""
    grades = one.relevance or {}
    return (
        float(grades.get(one.ranking[0], 0) == max(grades.values()))
        if grades and one.ranking
        else float("nan")
    )

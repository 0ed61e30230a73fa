"""Rankings that were measured, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from engine.log import Log

from retrieval.rows import Row
from retrievers.fuse import ReciprocalRankFusion
from retrievers.seal import SEAL
from retrievers.seal.stage import GenerativeRetriever
from retrievers.seal.tuning.lessons import Split
from retrievers.seal.tuning.options import SealTrainer
from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.measures.base import Seen
from testbed.measures.quality import quality
from testbed.protocols import Context, Stage
from testbed.seeds import rng_for
from testbed.statistics import Cells, Interval, Intervals, sign_flip
from testbed.types import Listing, Request, Situation, Slate

TOP = 100
"""Documents of a ranking that are kept in the log."""
CHUNK = 8
"""Requests that are retrieved for together; also what is lost at an interruption."""
MEASURES = ("nDCG@10", "R@10", "R@100")


def asked(catalog: Catalog, limit: int | None, *, held_out: bool = False) -> tuple[Request, ...]:
    """The requests, the first `limit` of them in an order by hash: fewer are a part of more.

    `held_out`: only those that a training with the default share and seed does not learn from.
    """
    share, seed = (SealTrainer.model_fields[name].default for name in ("held_out", "seed"))
    among = Split.of(catalog, share, seed).held_out if held_out else catalog.requests
    found = sorted(among, key=lambda one: rng_for("retrieval", one.id).random())
    return tuple(found[:limit])


def key_of(catalog: Catalog, row: Row, request: Request) -> str:
    """Key in the log: measured again when catalog, options or model change."""
    return f"{catalog.name}-{catalog.fingerprint[:6]}/{row.digest()}/{request.id}"


class Retrievers:
    """Stages of rows, made when they are first needed. Rows of one SEAL model share it and what it computed."""

    def __init__(self, catalog: Catalog, env: Environment) -> None:
        self.catalog, self.env = catalog, env
        self._stages: dict[str, Stage] = {}
        self._shared: dict[str | None, GenerativeRetriever] = {}

    def __call__(self, row: Row) -> Stage:
        """The stage of a row that is no fusion."""
        if row.name not in self._stages and row.stage:
            if isinstance(row.stage, SEAL):
                shared = self._shared.get(row.stage.model) or row.stage.build(self.catalog, self.env)
                self._shared[row.stage.model] = shared
                self._stages[row.name] = shared.with_options(row.stage)
            else:
                self._stages[row.name] = row.stage.build(self.catalog, self.env)
        return self._stages[row.name]


def measure(
    catalog: Catalog, rows: Sequence[Row], requests: Sequence[Request], env: Environment, log: Log
) -> None:
    """Rank what is not in the log yet: some requests under all rows, then the next ones."""
    retrievers, source = Retrievers(catalog, env), catalog.source()
    for begin in range(0, len(requests), CHUNK):
        for row in rows:
            some = [one for one in requests[begin : begin + CHUNK] if key_of(catalog, row, one) not in log]
            if not row.stage or not some:
                continue
            stage = retrievers(row)
            calls = [(Context(one, Situation(one.id, 0), None, 0), (source,)) for one in some]
            slates = (
                stage.many(calls) if hasattr(stage, "many") else [stage(one, *given) for one, given in calls]
            )
            for one, slate in zip(some, slates, strict=True):
                relevant = {item for item, grade in catalog.judgements[one.id].items() if grade > 0}
                reached = len(relevant & set(slate.ids)) / len(relevant)
                log.add(
                    key_of(catalog, row, one), row=row.name, ranking=list(slate.ids[:TOP]), reached=reached
                )


@dataclass(frozen=True)
class Values:
    """Values of a row by measure, (requests,) each, nan where it was not measured."""

    row: Row
    of: dict[str, np.ndarray]

    @property
    def known(self) -> np.ndarray:
        """Which requests were measured."""
        return ~np.isnan(self.of["nDCG@10"])


def values(catalog: Catalog, row: Row, rows: Sequence[Row], requests: Sequence[Request], log: Log) -> Values:
    """What the log says about a row."""
    by_name = {one.name: one for one in rows}
    found = {name: np.full(len(requests), np.nan) for name in (*MEASURES, "reached")}
    seen, places = [], []
    for place, request in enumerate(requests):
        sources = [by_name[name] for name in row.parents] or [row]
        entries = [log.entries.get(key_of(catalog, one, request)) for one in sources]
        if any(entry is None for entry in entries):
            continue
        rankings = [tuple(entry["ranking"]) for entry in entries if entry]
        ranking = rankings[0] if row.stage else _fused(request, rankings)
        seen.append(Seen(ranking, relevance=catalog.judgements[request.id]))
        places.append(place)
        if row.stage and entries[0]:
            found["reached"][place] = entries[0]["reached"]
    for name in MEASURES:
        if seen:
            found[name][places] = quality(name).of(seen)
    return Values(row, found)


def _fused(request: Request, rankings: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    slates = [Slate(tuple(Listing(item, {}) for item in ranking)) for ranking in rankings]
    context = Context(request, Situation(request.id, 0), None, 0)
    return tuple(ReciprocalRankFusion(keep=TOP)(context, *slates).ids)


@cache
def _intervals() -> Intervals:
    return Intervals(lambda name: rng_for("retrieval", name))


def interval(found: np.ndarray, bounds: tuple[float, float] = (0.0, 1.0)) -> Interval:
    """Mean over requests with a 95 % interval (bootstrap over requests)."""
    return _intervals().of(Cells(found[None, :, None], (0,)), bounds)


def difference(one: np.ndarray, other: np.ndarray) -> tuple[Interval, float] | None:
    """Mean difference with its interval, and p of a sign-flip test over requests; None for less than two."""
    both = one - other
    both = both[~np.isnan(both)]
    tested = sign_flip(both.tolist(), rng_for("retrieval", "sign flip")) if len(both) > 1 else None
    return (interval(both, (-1.0, 1.0)), tested.p) if tested else None

"""How well a model ranks made-up pages that no training sees, read as the recommender stage reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from retrievers.llm.plugin import LanguageModelRecommender
from retrievers.llm.tuning.catalog import MadeUp
from testbed.measures.base import Seen
from testbed.measures.quality import quality
from testbed.protocols import Context
from testbed.seeds import rng_for
from testbed.types import Situation

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.language import LanguageModel

Reading = Literal["likelihood", "pointwise"]
LENGTHS = (5, 10, 20)
"""Listings on a page; none of them occurs in training."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Means over requests and orders. `first`: share with a best listing on top. `spread`: SD of a rank over orders."""

    listings: int
    who: str
    ndcg: float
    first: float
    spread: float
    requests: int


def qualities(
    who: str,
    model: LanguageModel | None,
    *,
    pages: int = 25,
    requests: int = 4,
    orders: int = 3,
    lengths: Sequence[int] = LENGTHS,
    reading: Reading = "likelihood",
    tick: Callable[[], None] = lambda: None,
) -> Iterator[Quality]:
    """Quality by number of listings; without a model that of a random ranking. `tick` is called after every request."""
    for length in lengths:
        catalog = MadeUp(listings=length, pages=pages, requests=requests).load()
        yield quality_of(who, catalog, model, orders, reading, tick)


def quality_of(
    who: str,
    catalog: Catalog,
    model: LanguageModel | None,
    orders: int,
    reading: Reading = "likelihood",
    tick: Callable[[], None] = lambda: None,
) -> Quality:
    """Quality on one catalog under a reading, otherwise the stage's default options."""
    options = LanguageModelRecommender(reading=reading)
    stage = None
    if model is not None:
        from retrievers.llm.stage import Recommender

        stage = Recommender(options, catalog, model)
    seen: list[Seen] = []
    spreads: list[float] = []
    for request in catalog.requests:
        slate = catalog.source((), request)
        contexts = [Context(request, Situation(request.id, order), None, 0) for order in range(orders)]
        if stage is None:
            rng = rng_for(0, request.id)
            rankings = [tuple(str(item) for item in rng.permutation(list(slate.ids))) for _ in contexts]
        else:
            rankings = [
                tuple(found.ids) for found in stage.many([(context, (slate,)) for context in contexts])
            ]
        seen += [Seen(ranking, relevance=catalog.judgements[request.id]) for ranking in rankings]
        places = np.array([[ranking.index(item) for item in slate.ids] for ranking in rankings])
        spreads.append(float(places.std(0).mean()))
        tick()
    best = [max(one.relevance.values()) == one.relevance[one.ranking[0]] for one in seen if one.relevance]
    return Quality(
        len(catalog.source((), catalog.requests[0])),
        who,
        float(np.nanmean(quality("nDCG@10").of(seen))),
        float(np.mean(best)),
        float(np.mean(spreads)),
        len(catalog.requests),
    )

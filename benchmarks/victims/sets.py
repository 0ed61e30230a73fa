"""The requests that victims are scored on: SafeGEO, the project's own catalogs, the paper's ten machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from catalogs.loaders import FieldLines, SafeGeo
from catalogs.shipped import CoffeeMachines, Headphones, Hotels, Novels, Tents
from retrievers.llm.tuning.catalog import MadeUp
from testbed.catalog import Catalog
from testbed.seeds import rng_for
from testbed.types import Request

PAPER_REQUESTS = Path(__file__).parent / "paper_requests.jsonl"
LISTED = 10


@dataclass(frozen=True)
class Set:
    """A name, and catalogs whose judged requests count as one sample."""

    name: str
    catalogs: tuple[Catalog, ...]

    def some(self, limit: int | None) -> Set:
        """At most `limit` requests, drawn once and for all over the catalogs in turn."""
        if limit is None:
            return self
        drawn = [_shuffled(catalog) for catalog in self.catalogs]
        turns = [(row, which) for which, requests in enumerate(drawn) for row in range(len(requests))]
        kept = {which: set[str]() for which in range(len(drawn))}
        for row, which in sorted(turns)[:limit]:
            kept[which].add(drawn[which][row].id)
        return replace(
            self,
            catalogs=tuple(
                replace(catalog, requests=tuple(one for one in catalog.requests if one.id in kept[which]))
                for which, catalog in enumerate(self.catalogs)
            ),
        )

    @property
    def requests(self) -> Iterator[tuple[Catalog, Request]]:
        """Every request with its catalog."""
        return ((catalog, request) for catalog in self.catalogs for request in catalog.requests)


def own() -> Set:
    """All requests of the five shipped catalogs, each offered ten items."""
    loaded = [plugin().load() for plugin in (CoffeeMachines, Headphones, Tents, Hotels, Novels)]
    return Set("own", tuple(map(lists_of_ten, loaded)))


def made_up() -> Set:
    """Lists of ten of held-out categories, with held-out phrasings, from the generator of the tuned recommender."""
    return Set("held out", (MadeUp(listings=LISTED, pages=30, requests=4).load(),))


def safegeo(folder: Path) -> Set:
    """SafeGEO's requests with their rosters, a catalog for each vertical."""
    whole = SafeGeo(path=folder).load()
    kinds = dict.fromkeys(whole.fields(one.candidates[0])["Category"] for one in whole.requests)
    return Set(
        "SafeGEO",
        tuple(
            replace(
                whole,
                name=f"safegeo {kind}",
                requests=tuple(
                    one for one in whole.requests if whole.fields(one.candidates[0])["Category"] == kind
                ),
            )
            for kind in kinds
        ),
    )


def paper(file: Path) -> Set:
    """The paper's ten coffee machines under the eight requests that were fixed beforehand."""
    return Set("paper", (FieldLines(path=file, requests=PAPER_REQUESTS).load(),))


def lists_of_ten(catalog: Catalog) -> Catalog:
    """Each judged request is offered one of its best items and nine others, drawn by the catalog's content."""
    requests = []
    for request in catalog.requests:
        grades = catalog.judgements.get(request.id)
        if not grades:
            continue
        rng = rng_for(catalog.fingerprint, "list of ten", request.id)
        best = [item for item in catalog.ids if grades.get(item, 0) == max(grades.values())]
        first = best[int(rng.integers(len(best)))]
        others = [item for item in catalog.ids if item != first]
        drawn = rng.permutation(len(others))[: LISTED - 1]
        kept = {first, *(others[int(row)] for row in drawn)}
        requests.append(replace(request, candidates=tuple(item for item in catalog.ids if item in kept)))
    return replace(catalog, requests=tuple(requests))


def _shuffled(catalog: Catalog) -> list[Request]:
    requests = list(catalog.requests)
    rng_for(catalog.fingerprint, "benchmark requests").shuffle(requests)  # type: ignore[arg-type]
    return requests

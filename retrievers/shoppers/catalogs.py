"""Catalogs whose requests are those of simulated shoppers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from testbed.errors import CatalogError
from testbed.protocols import CatalogPlugin
from testbed.types import Request

if TYPE_CHECKING:
    from testbed.catalog import Catalog

RULE = "grade 1 for the item that came next, 0 for all others"


class Sessions(CatalogPlugin):
    """Another catalog, with simulated shopping sessions in place of its requests; what ends a session is judged.

    A request's history is all of a session but its last item, its text names what the user cares about most. The
    users are none of those that the default model of `use: rearec` is taught.
    """

    over: CatalogPlugin
    """The catalog; it needs attributes, which the simulation reads."""
    users: int = Field(default=200, ge=1, le=100_000)
    """Sessions."""

    def load(self) -> Catalog:
        """Simulate. CatalogError for a catalog without attributes."""
        from retrievers.shoppers import LEARNT_FROM, SEED, Facts, visits

        catalog = self.over.load()
        if not any(catalog.attributes):
            raise CatalogError(f"{catalog.name}: has no attributes to simulate sessions from")
        facts = Facts.of(catalog)
        requests, judgements = [], {}
        for visit in visits(facts, range(LEARNT_FROM, LEARNT_FROM + self.users), SEED):
            *history, last = (catalog.ids[row] for row in visit.items)
            name, told = f"u{visit.user}", visit.taste.told(facts)
            text = f"I care about: {told}." if told else "What comes next?"
            requests.append(Request(name, text, history=tuple(history)))
            judgements[name] = {last: 1}
        return replace(catalog, requests=tuple(requests), judgements=judgements, rule=RULE)


class Conversations(CatalogPlugin):
    """Another catalog whose requests come with a simulated dialogue before them and a goal; texts and grades stay.

    The dialogue is what shopper and shop say before the request; the goal is the turn in which the shopper has what
    was asked for, in the words of its hard constraints where it has some. Histories: with `histories`, what a shopper
    with these grades would have looked at before, best ones left out.
    """

    over: CatalogPlugin
    """The catalog."""
    what: str = ""
    """What is shopped for, plural; from the catalog's name when left out."""
    histories: bool = False
    """Whether requests without a history get a simulated one; needs attributes and grades."""
    seed: int = Field(default=0, ge=0)
    """Of everything that is drawn."""

    def load(self) -> Catalog:
        """Simulate. CatalogError for histories over a catalog without attributes or grades."""
        from retrievers.shoppers.requests import talked_over

        catalog = self.over.load()
        if self.histories and not (any(catalog.attributes) and catalog.judgements):
            raise CatalogError(
                f"{catalog.name}: has no attributes and grades to simulate histories from; leave histories out"
            )
        return replace(catalog, requests=talked_over(catalog, self.what, self.histories, self.seed))

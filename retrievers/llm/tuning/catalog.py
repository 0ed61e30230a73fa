"""Made-up pages as a catalog, for measuring a recommender on what its training has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from testbed.protocols import CatalogPlugin

if TYPE_CHECKING:
    from testbed.catalog import Catalog

NAME = "Name"


class MadeUp(CatalogPlugin):
    """Pages of made-up listings from the recommender's training generator; by default of its held-out parts."""

    split: Literal["test", "train"] = "test"
    """`test`: categories, kinds of numbers and phrasings that no training sees. `train`: those of the training."""
    phrasings: Literal["test", "train"] = "test"
    """Which way requests are put; `train` with held-out categories tells new products from new wordings."""
    listings: int = Field(default=10, ge=2, le=50)
    """Listings on a page. Training pages have 3 to 14, but never 5 or 10."""
    pages: int = Field(default=25, ge=1, le=2000)
    """Pages, each of one category."""
    requests: int = Field(default=4, ge=1, le=20)
    """Requests a page; each is offered its page's listings only."""
    seed: int = Field(default=0, ge=0)
    """Of everything that is drawn."""

    def load(self) -> Catalog:
        """Draw the pages."""
        import numpy as np

        from retrievers.llm.tuning.products import one, shop
        from retrievers.llm.tuning.wishes import grades, wishes
        from retrievers.llm.tuning.world import world
        from testbed.catalog import Catalog
        from testbed.types import Item, Request

        known = world()
        items, asked, judged = [], [], {}
        for index in range(self.pages):
            rng = np.random.default_rng([self.seed, 3, self.listings, index])
            page = shop(known, one(known.categories[self.split], rng), self.listings, self.split, rng, NAME)
            ids = [f"p{index:03}-{number:02}" for number in range(self.listings)]
            for item_id, product in zip(ids, page.products, strict=True):
                items.append(Item(item_id, product.fields, dict(product.numbers)))
            for number, wish in enumerate(wishes(known, page, self.phrasings, self.requests, rng)):
                if np.ptp(wish.utility) == 0:
                    continue  # nothing to get right
                name = f"p{index:03}-r{number:02}"
                asked.append(Request(name, wish.text, candidates=tuple(ids)))
                judged[name] = dict(zip(ids, map(int, grades(wish.utility)), strict=True))
        return Catalog.of(
            items,
            name="made_up",
            name_field=NAME,
            requests=asked,
            judgements=judged,
            rule="by utility over the page: grade 3 from two thirds, 2 from one third, 1 below, 0 outside a limit",
        )

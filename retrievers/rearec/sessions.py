"""Sessions of simulated shoppers as interactions to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from retrievers.rearec.data import Interactions
from retrievers.shoppers import Facts, visits

if TYPE_CHECKING:
    from testbed.catalog import Catalog


def simulated(
    catalog: Catalog, users: int, seed: int, *, first: int = 0, texts: Sequence[str] | None = None
) -> Interactions:
    """Sessions of so many users from number `first` on. `texts`: of the items; all of their fields if None."""
    if texts is None:
        texts = ["\n".join(catalog.fields(item).values()) for item in catalog.ids]
    found = visits(Facts.of(catalog), range(first, first + users), seed)
    names = [f"u{visit.user}" for visit in found]
    return Interactions.of(names, list(catalog.ids), [visit.items for visit in found], texts=texts)

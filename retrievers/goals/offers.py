"""Listings as they are read out in a dialogue."""

from __future__ import annotations

from collections.abc import Mapping

from retrievers.shoppers.talk import offer
from retrievers.shown import Documents


class Offers(Documents):
    """The turn with which a shop offers each item of a catalog."""

    def text(self, row: int) -> str:
        """The turn for one item as its vendor wrote it."""
        return self.text_of({name: self.catalog.columns[name][row] for name in self.catalog.columns})

    def text_of(self, fields: Mapping[str, str]) -> str:
        """The turn for a listing as it is shown."""
        name = self.catalog.name_field
        kept = {key: fields[key] for key in self.fields if fields.get(key)}
        return offer({**kept, name: fields.get(name, "")}, name)

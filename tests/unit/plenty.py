"""Honest listings in any number, for calibrating detectors in tests."""

from __future__ import annotations

import numpy as np

from testbed.catalog import Catalog
from testbed.protocols import CatalogPlugin
from testbed.types import Item, Request

WORDS = [
    "coffee",
    "machine",
    "quiet",
    "steel",
    "cheap",
    "tent",
    "for",
    "two",
    "people",
    "best",
    "under",
    "light",
    "small",
    "warm",
    "with",
    "and",
]


class Plenty(CatalogPlugin):
    """Listings of everyday words with a price; half of them have honest text."""

    count: int = 200
    seed: int = 0

    def load(self) -> Catalog:
        """The same listings for the same seed."""
        rng = np.random.default_rng(self.seed)
        items = []
        for number in range(self.count):
            text = " ".join(rng.choice(WORDS, size=int(rng.integers(4, 24))))
            honest = " ".join(rng.choice(WORDS, size=8)) if number % 2 else ""
            name = f"{rng.choice(WORDS).title()} {rng.integers(10, 99)}-{number}"
            fields = {"Name": name, "Description": text, "Price": f"${int(rng.integers(5, 500))}"}
            items.append(Item(f"s{self.seed}-{number}", fields, {}, honest))
        return Catalog.of(items, name="plenty", name_field="Name", requests=[Request("r", "a cheap machine")])

"""A catalog of a kiosk."""

from __future__ import annotations

from testbed.catalog import Catalog
from testbed.protocols import CatalogPlugin
from testbed.types import Item, Request


class Kiosk(CatalogPlugin):
    """Four things that one buys at a kiosk."""

    def load(self) -> Catalog:
        """Four items, four requests."""
        goods = {
            "water": "Still water",
            "paper": "The morning paper",
            "gum": "Mint gum",
            "map": "A map of the town",
        }
        items = [
            Item(key, {"Name": name, "Text": f"{name}, sold here every day"}, {}, f"{name} that we like.")
            for key, name in goods.items()
        ]
        requests = [Request(f"want-{key}", f"I want {name.lower()}") for key, name in goods.items()]
        judgements = {f"want-{key}": {key: 1} for key in goods}
        return Catalog.of(items, name="kiosk", name_field="Name", requests=requests, judgements=judgements)

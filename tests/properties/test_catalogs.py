"""Every shipped catalog, and every drawn one, is what a catalog has to be."""

from __future__ import annotations

import pytest
from hypothesis import given

from testbed.catalog import Catalog
from testbed.protocols import CatalogPlugin
from testbed.registry import get
from testbed.testing import ToyCatalog, catalogs, check_catalog


@pytest.mark.parametrize("name", ["coffee_machines", "headphones", "tents", "hotels", "novels"])
def test_shipped(name: str) -> None:
    plugin = get("catalogs", name)()
    assert isinstance(plugin, CatalogPlugin)
    check_catalog(plugin)


def test_toy() -> None:
    check_catalog(ToyCatalog())


@given(catalogs())
def test_drawn(catalog: Catalog) -> None:
    check_catalog(catalog)

"""How far can somebody who controls one listing move a ranking, what does that cost, and who is harmed?

The names below are all there is to know for scripts and plug-ins; each is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testbed.api import Result, run
    from testbed.catalog import Catalog
    from testbed.errors import UserError
    from testbed.protocols import (
        Access,
        AttackPlugin,
        CatalogPlugin,
        Context,
        ObjectivePlugin,
        Scores,
        StagePlugin,
        Step,
        Victim,
    )
    from testbed.registry import installed
    from testbed.scenario import Scenario, from_mapping, load
    from testbed.types import Constraint, Item, Listing, Request, Slate, Target, TextEdit

_WHERE = {
    "testbed.api": ("Result", "run"),
    "testbed.catalog": ("Catalog",),
    "testbed.errors": ("UserError",),
    "testbed.protocols": (
        *("Access", "AttackPlugin", "CatalogPlugin", "Context", "ObjectivePlugin"),
        *("Scores", "StagePlugin", "Step", "Victim"),
    ),
    "testbed.registry": ("installed",),
    "testbed.scenario": ("Scenario", "from_mapping", "load"),
    "testbed.types": (
        "Constraint",
        "HistoryEdit",
        "Item",
        "Listing",
        "Request",
        "Slate",
        "Target",
        "TextEdit",
    ),
}
_MODULE = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "Access",
    "AttackPlugin",
    "Catalog",
    "CatalogPlugin",
    "Constraint",
    "Context",
    "HistoryEdit",
    "Item",
    "Listing",
    "ObjectivePlugin",
    "Request",
    "Result",
    "Scenario",
    "Scores",
    "Slate",
    "StagePlugin",
    "Step",
    "Target",
    "TextEdit",
    "UserError",
    "Victim",
    "from_mapping",
    "installed",
    "load",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'testbed' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_MODULE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

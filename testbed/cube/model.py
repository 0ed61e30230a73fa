"""A cube as values: its axes and the scenarios that they span."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testbed.scenario import Scenario

AXES = ("attack", "stack", "defence", "budget")
"""In the order in which their levels change the scenario."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One scenario of a cube. `place`: axis → level, for the axes that the cube has."""

    place: Mapping[str, str]
    scenario: Scenario

    @property
    def folder(self) -> str:
        """Name of its run directory."""
        return f"{self.scenario.name}-{self.scenario.hash[:6]}"


@dataclass(frozen=True, slots=True)
class Cube:
    """Axes with their levels, and a cell for every combination that is not left out.

    `unit`: what the levels of the budget axis count, '' without one.
    """

    name: str
    axes: Mapping[str, tuple[str, ...]]
    cells: tuple[Cell, ...]
    unit: str = ""

    @property
    def hash(self) -> str:
        """12 hexadecimal digits of what its cells say."""
        whole = json.dumps([[dict(cell.place), cell.scenario.hash] for cell in self.cells])
        return hashlib.blake2b(whole.encode(), digest_size=6).hexdigest()

    @property
    def folder(self) -> str:
        """Name of its directory below `runs`."""
        return f"{self.name}-{self.hash[:6]}"

    def as_json(self) -> dict[str, Any]:
        """What cube.json holds (docs/schemas.md)."""
        return {
            "schema": 1,
            "name": self.name,
            "hash": self.hash,
            "axes": {axis: list(levels) for axis, levels in self.axes.items()},
            "unit": self.unit,
            "cells": [
                {"place": dict(cell.place), "hash": cell.scenario.hash, "run": f"cells/{cell.folder}"}
                for cell in self.cells
            ],
        }

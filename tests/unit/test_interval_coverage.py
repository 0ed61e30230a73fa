"""95 % intervals must cover in 93–97 % of simulated experiments; the whole table: benchmarks/interval_coverage.py."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "interval_coverage.py"
    spec = importlib.util.spec_from_file_location("interval_coverage", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("world", "design"),
    [
        ("usual", (1, 1, 5, 20, "these texts")),
        ("usual", (1, 3, 5, 20)),
        ("usual", (2, 2, 5, 20)),
        ("usual", (2, 3, 5, 20)),
        ("requests differ much", (2, 3, 5, 20)),
        ("no effect", (2, 3, 5, 20)),
    ],
)
def test_intervals_cover(simulation: ModuleType, world: str, design: tuple[int, ...]) -> None:
    share, width = simulation.coverage(simulation.WORLDS[world], simulation.Design(*design), 800, 0)
    assert 0.93 <= share <= 0.97
    assert width < 0.8


def test_an_interval_that_ignores_clustering_does_not(simulation: ModuleType) -> None:
    """Shows that the simulation can tell a bad interval from a good one."""
    design = simulation.Design(2, 3, 5, 20)
    share, _ = simulation.coverage(simulation.WORLDS["usual"], design, 300, 0, simulation.pairs_only)
    assert share < 0.6

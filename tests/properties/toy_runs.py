"""Runs with the toys, for tests and as a program: `python toy_runs.py SCENARIO OUT [JOBS]`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from testbed.runner import Summary, run
from testbed.scenario import from_mapping, loads
from testbed.testing import toy_registry

DATA: dict[str, Any] = {
    "version": 1,
    "name": "toy",
    "catalog": {"use": "toy"},
    "stack": [{"use": "toy", "name": "first", "k": 4}, {"use": "toy", "noise": 0.5}],
    "attack": {"use": "toy", "objective": {"use": "toy"}},
    "threat": {"access": "scores", "field": "Description", "budget": {"steps": 3}},
    "targets": {"items": ["pico", "grand"]},
    "optimise": {"requests": 1, "orders": 2},
    "validate": {"requests": 1, "orders": 1},
    "evaluate": {"requests": 2, "orders": 2},
    "seeds": [0, 1],
}


def run_toy(where: Path, data: dict[str, Any] | None = None, jobs: int = 1) -> Summary:
    """Run a scenario made of toys into a folder."""
    return run(from_mapping(data or DATA, registry=toy_registry()), where, jobs=jobs)


if __name__ == "__main__":
    run(
        loads(Path(sys.argv[1]).read_text(encoding="utf-8"), registry=toy_registry()),
        Path(sys.argv[2]),
        jobs=int(sys.argv[3]) if len(sys.argv) > 3 else 1,
    )

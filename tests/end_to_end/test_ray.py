"""Trials on a real Ray cluster of two workers on this machine; skipped where Ray is not installed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from testbed.errors import UserError
from testbed.protocols import Access, AttackPlugin, Step, Victim
from testbed.registry import Registry
from testbed.runner import Events, run
from testbed.scenario import from_mapping
from testbed.testing import toy_registry
from testbed.types import Target
from testbed.workers import Done

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


class Deadly(AttackPlugin):
    """Kill the process that runs it, unless that happened `deaths` times before."""

    access: ClassVar[Access] = Access.scores

    marks: str
    deaths: int = 1

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        died = len(list(Path(self.marks).iterdir()))
        if targets[0].item_id == "grand" and died < self.deaths:
            Path(self.marks, str(died)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        edit = targets[0].edit(f"pid {rng.integers(10)}")
        yield Step(edit, float(victim.objective([edit]).mean()))


def registry() -> Registry:
    return toy_registry().extended(attacks={"deadly": Deadly})


def trials(where: Path) -> bytes:
    return (where / "trials.jsonl").read_bytes()


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster whose workers find this module; two CPUs."""
    ray = pytest.importorskip("ray")
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    yield
    ray.shutdown()
    os.environ["PYTHONPATH"] = before


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_two_workers_on_ray_write_what_one_process_does(tmp_path: Path) -> None:
    scenario = from_mapping(DATA, registry=toy_registry())
    run(scenario, tmp_path / "inline")
    finished: list[Done] = []
    run(scenario, tmp_path / "ray", jobs=2, executor="ray", events=Events(finished=finished.append))
    assert trials(tmp_path / "ray") == trials(tmp_path / "inline")
    assert len(finished) == 4 + 2 * (1 + 2)


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_worker_that_is_killed_is_replaced_and_its_trial_done_again(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    data = {**DATA, "attack": {"use": "deadly", "marks": str(marks), "objective": {"use": "toy"}}}
    scenario = from_mapping(data, registry=registry())
    assert run(scenario, tmp_path / "ray", jobs=2, executor="ray").failed == ()
    assert len(list(marks.iterdir())) == 1, "one worker had to die"
    run(scenario, tmp_path / "inline")
    assert trials(tmp_path / "ray") == trials(tmp_path / "inline")


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_trial_that_kills_every_worker_ends_the_run(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    attack = {"use": "deadly", "marks": str(marks), "deaths": 9, "objective": {"use": "toy"}}
    scenario = from_mapping({**DATA, "attack": attack, "seeds": [0]}, registry=registry())
    with pytest.raises(UserError, match="3 workers died while they did 'attack/grand/0'"):
        run(scenario, tmp_path / "ray", jobs=2, executor="ray")


def test_without_ray_the_command_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'ranking-testbed\[ray\]'"):
        run(from_mapping(DATA, registry=toy_registry()), tmp_path / "run", executor="ray")

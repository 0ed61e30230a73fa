"""What a run directory is protected from, and doing failed attacks again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from testbed.errors import UserError
from testbed.language.precision import get_threads, set_threads
from testbed.protocols import Access, AttackPlugin, Step, Victim
from testbed.runner import run
from testbed.scenario import Scenario, from_mapping
from testbed.store import RunDirectory
from testbed.testing import toy_registry
from testbed.types import Target

DATA = {
    "version": 1,
    "name": "toy",
    "catalog": {"use": "toy"},
    "stack": [{"use": "toy"}],
    "attack": {"use": "moody"},
    "threat": {"access": "none", "field": "Description", "budget": {"steps": 1}},
    "targets": {"items": ["pico", "grand"]},
    "optimise": {"requests": 1, "orders": 1},
    "validate": {"requests": 1, "orders": 1},
    "evaluate": {"requests": 1, "orders": 2},
    "seeds": [0, 1],
}


class Moody(AttackPlugin):
    """Fails on one target while it is in the mood."""

    access: ClassVar[Access] = Access.none
    moods: ClassVar[list[str]] = []

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        if targets[0].item_id in self.moods:
            raise RuntimeError("not today")
        yield Step(targets[0].edit("fine"))


def scenario(**changes: object) -> Scenario:
    return from_mapping({**DATA, **changes}, registry=toy_registry().extended(attacks={"moody": Moody}))


def test_failed_attacks_are_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = run(scenario(), tmp_path / "good")
    monkeypatch.setattr(Moody, "moods", ["pico"])
    failed = run(scenario(), tmp_path / "bad")
    assert [key for key in failed.failed if key.startswith("attack/")] == ["attack/pico/0", "attack/pico/1"]
    monkeypatch.setattr(Moody, "moods", [])
    assert run(scenario(), tmp_path / "bad").failed == failed.failed
    assert run(scenario(), tmp_path / "bad", retry_failed=True).failed == ()
    trials = [(Path(summary.run) / "trials.jsonl").read_bytes() for summary in (undisturbed, failed)]
    assert trials[0] == trials[1]


def test_two_runs_at_once(tmp_path: Path) -> None:
    with (
        RunDirectory(tmp_path / "run").locked(),
        pytest.raises(UserError, match="run: another process is running here; wait for it"),
    ):
        run(scenario(), tmp_path / "run")
    assert run(scenario(), tmp_path / "run").failed == ()


def test_restart_removes_what_is_a_runs_own(tmp_path: Path) -> None:
    run(scenario(), tmp_path)
    (tmp_path / "thesis.txt").write_text("mine")
    before = (tmp_path / "trials.jsonl").read_bytes()
    (tmp_path / "trials.jsonl").write_text("garbage\ngarbage\n")
    run(scenario(), tmp_path, restart=True)
    assert (tmp_path / "trials.jsonl").read_bytes() == before
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_restart_leaves_another_scenarios_run_alone(tmp_path: Path) -> None:
    run(scenario(), tmp_path)
    before = (tmp_path / "trials.jsonl").read_bytes()
    with pytest.raises(UserError, match="holds a run of another scenario"):
        run(scenario(seeds=[7]), tmp_path, restart=True)
    assert (tmp_path / "trials.jsonl").read_bytes() == before


def test_another_limit_is_refused(tmp_path: Path) -> None:
    run(scenario(), tmp_path, limit=1)
    with pytest.raises(UserError, match="was begun with --limit 1"):
        run(scenario(), tmp_path)
    run(scenario(), tmp_path / "whole")
    with pytest.raises(UserError, match="was begun without --limit; choose another --out"):
        run(scenario(), tmp_path / "whole", limit=1)


@pytest.mark.parametrize("what", ["catalog", "models", "dtype"])
def test_the_rest_of_a_run_is_computed_alike(tmp_path: Path, what: str) -> None:
    run(scenario(), tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    changes = {what: {"other": 1}, "state": "interrupted"}
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, **changes}))
    with pytest.raises(UserError, match=f"the {what} changed since this run began"):
        run(scenario(), tmp_path)


def test_the_rest_of_a_run_has_the_threads_of_its_beginning(tmp_path: Path) -> None:
    before = get_threads()
    run(scenario(), tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "threads": 3, "state": "interrupted"}))
    try:
        run(scenario(), tmp_path)
        assert get_threads() == 3
    finally:
        set_threads(before)
    assert json.loads((tmp_path / "manifest.json").read_text())["threads"] == 3


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: cannot be a run directory"):
        run(scenario(), tmp_path / "file")


WORKER = """
import multiprocessing.synchronize
from testbed.on_processes import _start
from testbed.scenario import from_mapping
from testbed.world import build

def refuse(*args, **kwargs):
    raise AssertionError("a lock between processes")

multiprocessing.synchronize.SemLock.__init__ = refuse
_start(None)
build(from_mapping({data}))
from tqdm import tqdm
list(tqdm([1], disable=True))
"""


def test_a_worker_makes_no_lock_that_it_would_leave_behind_when_terminated() -> None:
    stage = {
        "catalog": {"use": "coffee_machines"},
        "stack": [{"use": "bm25"}],
        "attack": {"use": "injection"},
    }
    threat = {"access": "ranks", "field": "Description", "budget": {"queries": 1}}
    data = {**DATA, **stage, "threat": threat, "targets": {"items": ["aurelia-grand"]}}
    code = WORKER.format(data=data)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

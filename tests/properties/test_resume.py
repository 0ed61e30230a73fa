"""A run that was cut off anywhere ends with the records of one that was not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_runs import DATA, run_toy

from testbed.errors import UserError
from testbed.runner import run
from testbed.scenario import from_mapping
from testbed.store import RunDirectory
from testbed.testing import scenarios, toy_registry

HERE = Path(__file__).parent
LOOSE = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("undisturbed")
    assert run_toy(where).failed == ()
    return where


def trials(where: Path) -> bytes:
    return (where / "trials.jsonl").read_bytes()


@LOOSE
@given(data=st.data())
def test_cut_at_any_byte(undisturbed: Path, tmp_path: Path, data: st.DataObject) -> None:
    whole = trials(undisturbed)
    cut = data.draw(st.integers(0, len(whole)), label="bytes kept")
    garbage = data.draw(st.sampled_from([b"", b"\x00\x00\x00", b'{"kind": "att']), label="garbage behind")
    where = tmp_path / f"run-{cut}-{len(garbage)}"
    shutil.rmtree(where, ignore_errors=True)
    shutil.copytree(undisturbed, where)
    (where / "trials.jsonl").write_bytes(whole[:cut] + garbage)
    run_toy(where)
    assert trials(where) == whole
    traces = sorted(path.name for path in (undisturbed / "traces").iterdir())
    assert sorted(path.name for path in (where / "traces").iterdir()) == traces
    assert RunDirectory.open(where).manifest["state"] == "finished"
    shutil.rmtree(where)


@LOOSE
@given(scenarios(), st.floats(0, 1))
def test_any_scenario_cut_anywhere(tmp_path: Path, data: dict[str, Any], share: float) -> None:
    where = tmp_path / "run"
    shutil.rmtree(where, ignore_errors=True)
    scenario = from_mapping(data, registry=toy_registry())
    assert run(scenario, where).failed == ()
    whole = trials(where)
    (where / "trials.jsonl").write_bytes(whole[: int(share * len(whole))])
    run(scenario, where)
    assert trials(where) == whole


def test_a_finished_run_is_left_as_it_is(undisturbed: Path, tmp_path: Path) -> None:
    where = tmp_path / "again"
    shutil.copytree(undisturbed, where)
    before = trials(where), (where / "timings.jsonl").read_bytes()
    run_toy(where)
    assert (trials(where), (where / "timings.jsonl").read_bytes()) == before


def test_garbage_in_the_middle_is_no_torn_line(undisturbed: Path, tmp_path: Path) -> None:
    where = tmp_path / "broken"
    shutil.copytree(undisturbed, where)
    lines = trials(where).splitlines(keepends=True)
    (where / "trials.jsonl").write_bytes(b"".join([lines[0], b"{}\n", *lines[1:]]))
    with pytest.raises(UserError, match=r"trials\.jsonl:2: not a record"):
        run_toy(where)


def test_another_scenario_is_refused(undisturbed: Path) -> None:
    with pytest.raises(UserError, match="holds a run of another scenario"):
        run_toy(undisturbed, {**DATA, "seeds": [5]})


def program(scenario: Path, out: Path, jobs: int = 1) -> list[str]:
    return [sys.executable, str(HERE / "toy_runs.py"), str(scenario), str(out), str(jobs)]


@pytest.fixture
def scenario_file(tmp_path: Path) -> Path:
    file = tmp_path / "scenario.yaml"
    data = {**DATA, "evaluate": {"requests": 3, "orders": 60}}
    file.write_text(from_mapping(data, registry=toy_registry()).to_yaml())
    return file


@pytest.mark.slow
def test_kill_and_go_on(scenario_file: Path, tmp_path: Path) -> None:
    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    subprocess.run(program(scenario_file, quiet), check=True)
    whole = trials(quiet)
    kills = 0
    for _ in range(6):
        child = subprocess.Popen(program(scenario_file, killed))
        file = killed / "trials.jsonl"
        start = file.stat().st_size if file.exists() else 0
        while child.poll() is None and not (file.exists() and file.stat().st_size > start + len(whole) // 6):
            time.sleep(0.01)
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
        child.wait()
    assert kills >= 2
    assert json.loads((killed / "manifest.json").read_text())["scenario_hash"]
    subprocess.run(program(scenario_file, killed), check=True)
    assert trials(killed) == whole


@pytest.mark.slow
def test_two_processes_write_what_one_does(undisturbed: Path, tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(from_mapping(DATA, registry=toy_registry()).to_yaml())
    subprocess.run(program(file, tmp_path / "two", 2), check=True)
    assert trials(tmp_path / "two") == trials(undisturbed)

"""The whole way on the embedded model: scenario, records, tables, report, gate, comparison."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

QUICK = Path(__file__).parents[2] / "scenarios" / "quick.yaml"


def cli(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "testbed.cli", *map(str, arguments)],
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the quick scenario; tests may read it or copy it."""
    out = tmp_path_factory.mktemp("runs") / "quick"
    done = cli("run", QUICK, "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"report: {out / 'report.html'}"
    assert done.stderr == ""  # no progress bar where there is no terminal
    return out


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "quick"))


def read(file: Path) -> Any:
    """JSON without Infinity and NaN."""
    return json.loads(file.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_run_leaves_everything_that_is_promised(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        *("manifest.json", "scenario.yaml", "trials.jsonl", "timings.jsonl", "traces"),
        *("results.parquet", "tables.json", "report.html"),
    }
    assert (finished / "scenario.yaml").read_text() == QUICK.read_text()
    assert read(finished / "manifest.json")["state"] == "finished"
    keys = [json.loads(line)["key"] for line in (finished / "trials.jsonl").read_text().splitlines()]
    assert [key.partition("/")[0] for key in keys] == ["attack"] + ["evaluate"] * 16  # 4 orders under 4 arms
    assert len(set(keys)) == 17


def test_the_tables_give_lift_interval_and_arm_without_prose(finished: Path) -> None:
    tables = read(finished / "tables.json")
    (row,) = (
        row
        for row in tables["rows"]
        if (row["measure"], row["arm"], row["against"], row["target"], row["selection"])
        == ("lift@1", "attack", "clean", "all", "mean")
    )
    assert row["low"] <= row["estimate"] <= row["high"]
    assert row["n"] == 4
    assert tables["statuses"]["attack"] == {"ok": 4}
    assert set(tables["run"]["arms"]) == {"clean", "attack", "random_tokens", "honest_text"}


def test_running_again_does_no_work_and_gives_the_same(run: Path) -> None:
    files = ("trials.jsonl", "timings.jsonl", "tables.json", "report.html")
    before = {name: (run / name).read_bytes() for name in files}
    assert cli("run", QUICK, "--out", run).returncode == 0
    after = {name: (run / name).read_bytes() for name in files}
    assert after["trials.jsonl"] == before["trials.jsonl"]
    assert after["timings.jsonl"] == before["timings.jsonl"]  # a line is added for every trial that is run
    assert after["tables.json"] == before["tables.json"]


def test_an_interrupted_run_ends_in_the_same_records(run: Path) -> None:
    file = run / "trials.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * 3 // 4])  # in the middle of a line
    assert cli("run", QUICK, "--out", run).returncode == 0
    assert file.read_bytes() == whole


def test_a_gate_that_is_crossed_gives_exit_code_3(run: Path) -> None:
    done = cli("run", QUICK, "--out", run, "--fail-if", "lift@1 > -1", "--json")
    assert done.returncode == 3
    assert "gate crossed: lift@1 > -1 (it is " in done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {"schema", "run", "report", "verdict", "failed", "crossed"}
    assert found["failed"] == []
    (gate,) = found["crossed"]
    assert (gate["gate"], gate["crossed"], gate["row"]["measure"]) == ("lift@1 > -1", True, "lift@1")
    assert found["verdict"] == read(run / "tables.json")["verdict"]
    assert cli("run", QUICK, "--out", run, "--fail-if", "lift@1 > 1").returncode == 0


def test_another_scenario_is_not_mixed_in(run: Path) -> None:
    done = cli("run", QUICK, "--out", run, "--set", "evaluate.orders=5")
    assert done.returncode == 2
    assert "holds a run of another scenario (quick, " in done.stderr


def test_show_gives_the_answer_and_the_tables(finished: Path) -> None:
    tables = read(finished / "tables.json")
    lines = cli("show", finished).stdout.splitlines()
    assert lines[0] == tables["verdict"]["sentence"]
    assert any(line.split()[:4] == ["lift@1", "all", "attack", "clean"] for line in lines)
    assert json.loads(cli("show", finished, "--json").stdout) == tables


def test_what_is_derived_can_be_deleted_and_rebuilt(run: Path) -> None:
    before = {name: (run / name).read_bytes() for name in ("tables.json", "report.html")}
    for name in (*before, "results.parquet"):
        (run / name).unlink()
    done = cli("report", run, "--json")
    assert done.returncode == 0, done.stderr
    assert {name: (run / name).read_bytes() for name in before} == before
    assert (run / "results.parquet").exists()
    assert json.loads(done.stdout)["report"] == str(run / "report.html")


def test_a_run_compared_with_itself_differs_in_nothing(finished: Path, run: Path) -> None:
    found = json.loads(cli("compare", finished, run, "--json").stdout)
    assert found["schema"] == 1
    assert {row["estimate"] for row in found["rows"]} == {0.0}
    assert {("lift@1", "attack"), ("top@1", "clean")} <= {
        (row["measure"], row["arm"]) for row in found["rows"]
    }
    table = cli("compare", finished, run, "--measure", "lift@1")
    assert table.returncode == 0, table.stderr
    assert table.stdout.startswith("run ")

"""A package of somebody else's brings a stage, an attack and a catalog: installed, found, checked, run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "extension_package"
PROJECT = PACKAGE.parent.parent


@pytest.mark.slow
def test_installed_found_checked_and_run(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "site"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
    ]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(target), str(PROJECT)])}
    done = subprocess.run(
        [sys.executable, str(source / "try_it.py"), str(tmp_path / "run")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["failed"] == []
    assert "A map of the town, sold here every day".startswith(said["text"])
    assert min(said["ranks"]["clean"]) > 1
    assert set(said["ranks"]["attack"]) == {1}

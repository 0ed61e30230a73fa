"""Running a cube: every cell in its own run directory, then the tables and the report of all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.cube.model import Cell, Cube
from testbed.errors import UserError
from testbed.locks import made
from testbed.store import REPORT, TABLES, TRIALS, write_json, write_text

if TYPE_CHECKING:
    from testbed.runner import Events
    from testbed.workers import Executor

CUBE = "cube.json"


@dataclass(frozen=True, slots=True)
class CubeResult:
    """A finished cube. `tables` is the content of its tables.json; `failed`: keys of failed trials, cell by cell."""

    path: Path
    tables: Mapping[str, Any]
    failed: tuple[str, ...] = ()

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.path / REPORT


def is_cube_run(path: str | Path) -> bool:
    """Whether a directory holds the cells of a cube."""
    return (Path(path) / CUBE).is_file()


def run_cube(
    cube: Cube,
    out: Path,
    *,
    text: str = "",
    jobs: int = 1,
    executor: Executor = "processes",
    limit: int | None = None,
    restart: bool = False,
    retry_failed: bool = False,
    argv: Sequence[str] = (),
    events: Callable[[Cell, int], Events] | None = None,
) -> CubeResult:
    """Run what is not there yet of every cell, one after another, and write tables and report.

    Cells get their tables; their own reports are made by `testbed report`, of the cube or of one of them.
    `text`: the file, which is kept beside. `events`: told the cell and its number. UserError when `out` holds
    another cube.
    """
    from testbed import runner
    from testbed.on_processes import Processes
    from testbed.tables import write_tables

    if is_cube_run(out) and read_cube(out)["hash"] != cube.hash:
        raise UserError(f"{out}: holds another cube; choose another --out")
    made(out, "run directory")
    write_json(out / CUBE, cube.as_json())
    write_text(out / "cube.yaml", text)
    failed: list[str] = []
    with Processes(jobs) as processes:
        for number, cell in enumerate(cube.cells):
            where = out / "cells" / cell.folder
            summary = runner.run(
                cell.scenario,
                where,
                jobs=jobs,
                executor=executor,
                limit=limit,
                restart=restart,
                retry_failed=retry_failed,
                argv=argv,
                events=events(cell, number) if events else None,
                processes=processes,
            )
            if not _is_derived(where):
                write_tables(where)
            failed += [f"{cell.folder}: {key}" for key in summary.failed]
    return CubeResult(out, derive_cube(out), tuple(failed))


def _is_derived(run: Path) -> bool:
    """Whether a cell's tables are younger than its records."""
    tables, trials = run / TABLES, run / TRIALS
    return tables.is_file() and tables.stat().st_mtime_ns > trials.stat().st_mtime_ns


def derive_cube(path: str | Path) -> dict[str, Any]:
    """Build the tables and the report of a cube anew from those cells that are finished; returns the tables."""
    from testbed.cube.report import render
    from testbed.cube.tables import cube_tables

    path = Path(path)
    tables = cube_tables(path, read_cube(path))
    write_text(path / TABLES, json.dumps(tables, ensure_ascii=True, allow_nan=False, indent=1) + "\n")
    write_text(path / REPORT, render(tables))
    return tables


def read_cube(path: str | Path) -> dict[str, Any]:
    """cube.json of a directory; UserError when it cannot be one."""
    file = Path(path) / CUBE
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise UserError(f"{file}: cannot be read: {fault}") from None
    if not isinstance(data, dict) or data.get("schema") != 1:
        raise UserError(f"{file}: not a cube that this version reads")
    return data

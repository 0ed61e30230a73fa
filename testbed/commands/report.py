"""`testbed report`: everything derived from a run, built anew."""

from __future__ import annotations

from pathlib import Path

import click

from testbed.commands.options import AS_JSON, PATH, print_json


@click.command("report")
@click.argument("run", type=PATH)
@AS_JSON
def command(run: Path, as_json: bool) -> None:
    """Rebuild tables.json, results.parquet and report.html of RUN, or of a cube and its cells, from records."""
    from testbed.api import derive
    from testbed.cube import derive_cube, is_cube_run
    from testbed.store import REPORT

    if is_cube_run(run):
        for cell in sorted((run / "cells").iterdir()):
            derive(cell)
        found = derive_cube(run)
        if as_json:
            print_json({"schema": 1, "run": str(run), "report": str(run / REPORT), "tables": found})
        else:
            click.echo(f"report: {run / REPORT}")
        return
    tables = derive(run)
    if as_json:
        print_json({"schema": 1, "run": str(run), "report": str(run / REPORT), "verdict": tables["verdict"]})
    else:
        click.echo(f"report: {run / REPORT}")

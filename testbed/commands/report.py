"""`testbed report`: everything derived from a run, built anew."""

from __future__ import annotations

from pathlib import Path

import click

from testbed.commands.options import AS_JSON, print_json


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path))
@AS_JSON
def command(run: Path, as_json: bool) -> None:
    """Rebuild tables.json, results.parquet and report.html of RUN from its records."""
    from testbed.api import derive
    from testbed.store import REPORT

    tables = derive(run)
    if as_json:
        print_json({"schema": 1, "run": str(run), "report": str(run / REPORT), "verdict": tables["verdict"]})
    else:
        click.echo(f"report: {run / REPORT}")

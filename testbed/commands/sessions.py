"""`testbed sessions`: logs of `testbed serve` become a run."""

from __future__ import annotations

from pathlib import Path

import click

from testbed.commands.options import AS_JSON, PATH, print_json


@click.command("sessions")
@click.argument("logs", nargs=-1, required=True, type=PATH)
@click.option("--out", required=True, type=PATH, help="Run directory to make.")
@AS_JSON
def command(logs: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Make a run directory out of session LOGS, with tables and report.

    The sessions of all arms are paired by request and presentation order. Made again, a run is replaced.
    """
    from testbed.serve.as_run import collect

    found = collect(logs, out)
    verdict, report = found.tables["verdict"], found.run.path / "report.html"
    if as_json:
        print_json(
            {
                "schema": 1,
                "run": str(out),
                "report": str(report),
                "verdict": verdict,
                "sessions": found.counts,
            }
        )
        return
    for arm, counts in found.counts.items():
        click.echo(f"{arm}: {', '.join(f'{count} {status}' for status, count in sorted(counts.items()))}")
    click.echo(verdict["sentence"])
    click.echo(f"report: {report}")

"""`testbed compare`: runs side by side, paired by situation."""

from __future__ import annotations

from pathlib import Path

import click

from testbed.commands.options import AS_JSON, print_json


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--measure", "measures", multiple=True, help="Compare this measure; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="All measures, not only the first run's scenario's.")
@AS_JSON
def command(runs: tuple[Path, ...], measures: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Compare RUNS with the first of them: differences with intervals, paired by request and order."""
    from testbed.compare import compare
    from testbed.tables import read_manifest

    found = compare(runs, measures=measures)
    named = set(measures) or set(read_manifest(runs[0]).get("measures", ()))
    if as_json:
        print_json(found)
        return
    header = (
        f"{'run':<28} {'measure':<12} {'target':<20} {'arm':<14} {'base':>7} {'run':>7} {'diff':>8}  interval"
    )
    click.secho(header, bold=True)
    for row in found["rows"]:
        if row["measure"] not in named and not everything:
            continue
        bounds = "" if row["low"] is None else f"[{row['low']:+.3f}, {row['high']:+.3f}]"
        mark = " *" if row.get("p_holm") is not None and row["p_holm"] < 0.05 else ""
        click.echo(
            f"{row['run']:<28} {row['measure']:<12} {row['target']:<20} {row['arm']:<14} "
            f"{row['base_value']:>7.3f} {row['run_value']:>7.3f} {row['estimate']:>+8.3f}  {bounds}{mark}"
        )

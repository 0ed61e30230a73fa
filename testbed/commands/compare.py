"""`testbed compare`: runs side by side, paired by situation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from testbed.commands.options import AS_JSON, PATH, print_json, say_bounds
from testbed.errors import visible


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, type=PATH)
@click.option("--measure", "measures", multiple=True, help="Compare this measure; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="All measures, not only the first run's scenario's.")
@AS_JSON
def command(runs: tuple[Path, ...], measures: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Compare RUNS with the first of them: differences with intervals, paired by request and order.

    The directory of a cube alone: its cells side by side, by the primary lift or by the measures asked for.
    """
    from testbed.compare import compare
    from testbed.cube import is_cube_run
    from testbed.store import RunDirectory

    if len(runs) == 1 and is_cube_run(runs[0]):
        from testbed.commands.show import show_cube

        show_cube(runs[0], as_json, measures, everything)
        return
    opened = [RunDirectory.open(path) for path in runs]
    found = compare(runs, measures=measures)
    if as_json:
        print_json(found)
        return
    for name, shared in _identical(runs, [one["run"] for one in found["runs"]]):
        click.echo(
            f"run {visible(name)}: identical rankings to {visible(found['base']['run'])} "
            f"in all {shared} test rankings that both have"
        )
    named = set(measures) or set(opened[0].manifest.get("measures", ()))
    rows = [row for row in found["rows"] if everything or row["measure"] in named]
    _print("levels: the value under an arm", [row for row in rows if row["against"] is None])
    _print("effects: an arm against another", [row for row in rows if row["against"] is not None])


def _identical(runs: Sequence[Path], names: Iterable[str]) -> Iterator[tuple[str, int]]:
    """(name, shared test rankings) of every run that ranks as the first does wherever both rank."""
    base = _rankings(runs[0])
    for path, name in zip(runs[1:], names, strict=True):
        other = _rankings(path)
        shared = base.keys() & other.keys()
        if shared and all(base[key] == other[key] for key in shared):
            yield name, len(shared)


def _rankings(path: Path) -> dict[str, tuple[str, ...]]:
    from testbed.records import EvaluationRecord, iter_records

    return {
        record.key: record.ranking
        for record in iter_records(path / "trials.jsonl")
        if isinstance(record, EvaluationRecord) and record.split == "test" and record.status != "error"
    }


def _print(heading: str, rows: Sequence[Mapping[str, Any]]) -> None:
    from testbed.tables.row import whose_p

    if not rows:
        return
    click.echo()
    click.secho(heading, bold=True)
    click.secho(
        f"{'run':<28} {'measure':<14} {'target':<20} {'arm':<14} {'against':<14} "
        f"{'base':>8} {'run':>8} {'diff':>8}  interval",
        bold=True,
    )
    for row in rows:
        mark = " *" if row.get("p_holm") is not None and row["p_holm"] < 0.05 else ""
        click.echo(
            f"{visible(row['run']):<28} {visible(row['measure']):<14} {visible(row['target']):<20} "
            f"{visible(row['arm']):<14} {visible(row['against'] or '-'):<14} {_number(row['base_value'])} "
            f"{_number(row['run_value'])} {_number(row['estimate'], '+')}  {say_bounds(row)}{mark}"
        )
    marked = [row for row in rows if row.get("p_holm") is not None]
    if marked:
        click.echo(f"* p < .05 after Holm's correction. {whose_p(marked)}".rstrip())


def _number(value: float | None, sign: str = "") -> str:
    return f"{'':>8}" if value is None else f"{value:>{sign}8.3f}"

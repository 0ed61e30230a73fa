"""`testbed run`: scenario in, run directory, tables and report out."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from testbed.commands.interrupts import resumable
from testbed.commands.options import AS_JSON, PATH, SCENARIO, SET, overrides, print_json
from testbed.errors import UserError, visible

if TYPE_CHECKING:
    from testbed.api import Result
    from testbed.cube import Cube
    from testbed.runner import Events
    from testbed.scenario import Scenario
    from testbed.workers import Executor


@click.command("run")
@SCENARIO
@SET
@click.option("--out", type=PATH, help="Run directory [default: runs/NAME-HASH].")
@click.option("--limit", type=click.IntRange(min=1), help="Measure on that many test orders only.")
@click.option(
    "--seed", "seeds", type=click.IntRange(min=0), multiple=True, help="Attack seed; may be repeated."
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Workers.")
@click.option(
    "--executor",
    type=click.Choice(["processes", "ray"]),
    default="processes",
    show_default=True,
    help="Where the workers are; ray: on the cluster of RAY_ADDRESS, or one of this machine's.",
)
@click.option("--device", help="cpu, cuda, cuda:1, mps or auto.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of each worker.")
@click.option("--dry-run", is_flag=True, help="Count trials and estimate the cost; run nothing.")
@click.option("--restart", is_flag=True, help="Forget what an earlier run with this scenario has done.")
@click.option("--retry-failed", is_flag=True, help="Do again what ended in an error.")
@click.option(
    "--fail-if",
    "gates",
    multiple=True,
    metavar="CONDITION",
    help="Exit with 3 when it holds, for instance 'lift@1 > 0.2' or 'lift@1.low > 0'. May be repeated.",
)
@AS_JSON
def command(
    scenario: Path,
    settings: tuple[str, ...],
    out: Path | None,
    limit: int | None,
    seeds: tuple[int, ...],
    jobs: int,
    executor: Executor,
    device: str | None,
    threads: int | None,
    dry_run: bool,
    restart: bool,
    retry_failed: bool,
    gates: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run SCENARIO (or a cube of them), or go on where an interrupted run stopped.

    The records, tables and the report go to the run directory. Running a finished scenario again only
    rebuilds what is derived.
    """
    from testbed.cube.load import is_cube
    from testbed.gate import evaluate, parse, refuse_unknown
    from testbed.scenario import load

    conditions = [parse(gate) for gate in gates]
    changes = overrides(settings, seeds, device, threads)
    if is_cube(scenario):
        if conditions:
            raise click.UsageError("--fail-if is for a scenario; a cube has a cell for every answer")
        how = {
            "limit": limit,
            "jobs": jobs,
            "executor": executor,
            "restart": restart,
            "retry_failed": retry_failed,
        }
        _run_cube(scenario, changes, out, dry_run, as_json, how)
        return
    experiment = load(scenario, changes)
    for condition in conditions:
        refuse_unknown(condition, experiment)
    if dry_run:
        _estimate(experiment, limit, as_json)
        return
    from testbed.api import run, run_folder
    from testbed.commands.progress import watching

    where = out or run_folder(experiment, limit)
    with resumable(where), watching(experiment.name) as events:
        result = run(
            experiment,
            where,
            scenario_text=scenario.read_text(encoding="utf-8"),
            jobs=jobs,
            executor=executor,
            limit=limit,
            restart=restart,
            retry_failed=retry_failed,
            argv=sys.argv[1:],
            events=events,
        )
    crossed: list[dict[str, Any]] = []
    unclear: list[UserError] = []
    for condition in conditions:
        try:
            found = evaluate(condition, result.tables)
        except UserError as fault:
            unclear.append(fault)
        else:
            crossed += [found.as_json()] if found.crossed else []
    _tell(result, crossed, as_json)
    for problem in unclear:
        click.echo(str(problem), err=True)
    raise SystemExit(2 if unclear else 3 if crossed else 1 if result.failed else 0)


def _run_cube(
    file: Path,
    changes: Sequence[str],
    out: Path | None,
    dry_run: bool,
    as_json: bool,
    how: Mapping[str, Any],
) -> None:
    """All cells, one after another; the same exit codes as a single scenario."""
    from testbed.commands.progress import watching
    from testbed.cube import Cell, load_cube, run_cube
    from testbed.cube.text import lines_of

    cube = load_cube(file, changes)
    if dry_run:
        _estimate_cube(cube, how["limit"], as_json)
        return
    where = out or Path("runs") / (cube.folder + (f"-limit{how['limit']}" if how["limit"] else ""))
    with resumable(where), ExitStack() as bars:

        def events(cell: Cell, number: int) -> Events:
            bars.pop_all().close()
            title = f"{number + 1}/{len(cube.cells)} {' '.join(cell.place.values())}"
            return bars.enter_context(watching(title))

        text = file.read_text(encoding="utf-8")
        result = run_cube(cube, where, text=text, argv=sys.argv[1:], events=events, **how)
    if as_json:
        paths = {"run": str(result.path), "report": str(result.report)}
        print_json({"schema": 1, **paths, "failed": list(result.failed), "tables": result.tables})
    else:
        for line in lines_of(result.tables):
            click.echo(line)
        click.echo(f"report: {result.report}")
    for key in result.failed:
        click.echo(f"failed: {visible(key)}", err=True)
    raise SystemExit(1 if result.failed else 0)


def _estimate_cube(cube: Cube, limit: int | None, as_json: bool) -> None:
    from testbed.estimate import estimate

    found = [{"place": dict(cell.place), **estimate(cell.scenario, limit)} for cell in cube.cells]
    total: dict[str, float | None] = {}
    for key in ("attack_trials", "evaluation_trials", "rankings", "attack_queries"):
        values = [one[key] for one in found]
        total[key] = None if None in values else sum(values)
    if as_json:
        print_json({"schema": 1, "cells": found, "total": total})
        return
    for one in found:
        queries = "?" if one["attack_queries"] is None else f"{one['attack_queries']:,}"
        click.echo(
            f"{' '.join(one['place'].values()):<50} {one['rankings']:>8,} rankings {queries:>10} queries"
        )
    for key, value in total.items():
        click.echo(f"{key.replace('_', ' '):>24}  {value if value is not None else 'not known beforehand'}")


def _estimate(experiment: Scenario, limit: int | None, as_json: bool) -> None:
    from testbed.estimate import estimate

    found = estimate(experiment, limit)
    if as_json:
        print_json({"schema": 1, **found})
        return
    for key, value in found.items():
        click.echo(f"{key.replace('_', ' '):>24}  {value if value is not None else 'not known beforehand'}")


def _paid(spending: Mapping[str, float]) -> str:
    """What was asked of paid services, on one line."""
    counts = {name: f"{round(spending.get(name, 0)):,}" for name in ("requests", "from_cache", "failed")}
    tokens = round(spending.get("input_tokens", 0) + spending.get("output_tokens", 0))
    text = f"{counts['requests']} requests ({counts['from_cache']} more from the cache, {counts['failed']} failed)"
    text += f", {tokens:,} tokens"
    return text + (f", money {spending['money']:.4f}" if spending.get("money") else "")


def _tell(result: Result, crossed: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "schema": 1,
                "run": str(result.path),
                "report": str(result.report),
                "verdict": result.verdict,
                "failed": list(result.failed),
                "crossed": crossed,
                **({"spending": dict(result.spending)} if result.spending else {}),
            }
        )
    else:
        click.echo(visible(result.verdict["sentence"]))
        click.echo(f"report: {result.report}")
        if result.spending:
            click.echo(f"paid: {_paid(result.spending)}")
    for key in result.failed:
        click.echo(f"failed: {visible(key)}: {visible(result.notes.get(key, ''))}", err=True)
    for gate in crossed:
        click.echo(f"gate crossed: {gate['gate']} (it is {gate['value']:.3f})", err=True)

"""`testbed check`: every fault of a scenario at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from testbed.commands.options import AS_JSON, SCENARIO, SET, overrides, print_json

if TYPE_CHECKING:
    from testbed.errors import UserError


@click.command("check")
@SCENARIO
@SET
@AS_JSON
def command(scenario: Path, settings: tuple[str, ...], as_json: bool) -> None:
    """Check SCENARIO and the catalog it names; loads no model.

    Faults are printed as `file:line:column: path: message` and the exit code is 2.
    """
    from testbed.cube.load import is_cube, load_cube
    from testbed.errors import UserError, visible
    from testbed.scenario import load
    from testbed.world import load_catalog, unread

    try:
        if is_cube(scenario):
            cube = load_cube(scenario, overrides(settings))
            for cell in cube.cells:
                load_catalog(cell.scenario)
            if as_json:
                about = {"ok": True, "name": cube.name, "hash": cube.hash, "cells": len(cube.cells)}
                print_json({"schema": 1, **about, "faults": []})
            else:
                click.echo(f"{scenario}: fine ({cube.name}, {cube.hash}; a cube of {len(cube.cells)} cells)")
            return
        experiment = load(scenario, overrides(settings))
        catalog = load_catalog(experiment)
        told = unread(experiment, catalog)
    except UserError as error:
        if not as_json:
            raise
        print_json({"schema": 1, "ok": False, "faults": _faults(error)})
        raise SystemExit(error.exit_code) from None
    if told:
        click.echo(f"warning: {visible(told)}", err=True)
    if as_json:
        print_json({"schema": 1, "ok": True, "name": experiment.name, "hash": experiment.hash, "faults": []})
    else:
        click.echo(f"{scenario}: fine ({experiment.name}, {experiment.hash}; {len(catalog)} items)")


def _faults(error: UserError) -> list[dict[str, Any]]:
    """Faults of a scenario with their places; of anything else the messages alone, a catalog's one a line."""
    import dataclasses

    from testbed.errors import CatalogError, ScenarioError

    if isinstance(error, ScenarioError):
        return [dataclasses.asdict(fault) for fault in error.faults]
    messages = str(error).splitlines() if isinstance(error, CatalogError) else [str(error)]
    return [{"message": message} for message in messages]

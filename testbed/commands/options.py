"""Options that several commands share, and how they print."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from testbed.errors import UserError

Function = TypeVar("Function", bound=Callable[..., Any])


class FilePath(click.Path):
    """A file or folder; an empty text, as of a variable that is not set, is refused: it would be the working folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and not value.strip():
            self.fail("the path is empty (is a variable not set?)", param, ctx)
        return super().convert(value, param, ctx)


PATH = FilePath(path_type=Path)
SCENARIO = click.argument("scenario", type=PATH)
AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON (docs/schemas.md) instead of text."
)
SET = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the scenario, for instance --set attack.steps=10. May be repeated.",
)


def print_json(data: object) -> None:
    """Print JSON on standard output."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def say_bounds(row: Mapping[str, Any]) -> str:
    """`[low, high]` of a row of tables.json; where none can be given '', or `in every pair` if nothing varied."""
    from testbed.tables.row import same, signed

    return same(row) if row["low"] is None else f"[{signed(row['low'], 3)}, {signed(row['high'], 3)}]"


def overrides(
    settings: tuple[str, ...],
    seeds: tuple[int, ...] = (),
    device: str | None = None,
    threads: int | None = None,
) -> list[str]:
    """What the options change in a scenario, as texts for `testbed.scenario.load`."""
    from testbed.scenario.overrides import Typed

    found = list(settings)
    if seeds:
        written = " ".join(f"--seed {seed}" for seed in seeds)
        found.append(Typed(f"seeds=[{', '.join(map(str, seeds))}]", written))
    if device is not None:
        found.append(Typed(f"machine.device={device}", f"--device {device}"))
    if threads is not None:
        found.append(Typed(f"machine.threads={threads}", f"--threads {threads}"))
    return found


def refuse_unwritable(file: Path, option: str) -> None:
    """UserError when a file cannot be written, told before the work that would fill it. Leaves it as it is."""
    new = not os.path.lexists(file)
    try:
        with file.open("ab"):
            pass
        if new:
            file.unlink()
    except OSError as fault:
        raise UserError(f"{option} {file}: cannot be written: {fault.strerror or fault}") from None

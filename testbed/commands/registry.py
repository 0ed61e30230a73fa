"""`testbed registry`: texts that worked once, and whether they still do."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from testbed.commands.interrupts import resumable
from testbed.commands.options import AS_JSON, PATH, SET, overrides, print_json
from testbed.errors import visible

if TYPE_CHECKING:
    from testbed.frozen import Effect
    from testbed.runner import Events

CHANGED, EDITED, FAILED = 3, 2, 1


@click.group("registry")
def command() -> None:
    """Keep texts of runs in a folder with their provenance, and measure them again after every change."""


@command.command("add")
@click.argument("run", type=PATH)
@click.option("--to", "folder", type=PATH, required=True, help="Registry folder.")
@click.option("--measure", help="Lift to keep them with [default: the run's primary one].")
@click.option("--all", "everything", is_flag=True, help="Also texts whose effect is not shown.")
@AS_JSON
def add_texts(run: Path, folder: Path, measure: str | None, everything: bool, as_json: bool) -> None:
    """Freeze the texts of RUN whose effect is shown: its interval lies above 0."""
    from testbed.frozen import add

    added, left = add(run, folder, measure=measure, everything=everything)
    if as_json:
        print_json(
            {"schema": 1, "added": [entry.id for entry in added], "left_out": [one.key for one in left]}
        )
        return
    for entry in added:
        click.echo(f"{entry.id}  {visible(entry.target)}, seed {entry.seed}: {_said(entry.effect)}")
    for one in left:
        click.echo(f"left out: {visible(one.key)}: its effect is not shown (--all keeps it too)")
    click.echo(f"{len(added)} texts in {folder}")


@command.command("verify")
@click.argument("folder", type=PATH)
@SET
@click.option("--id", "ids", multiple=True, help="Only this text; may be repeated.")
@click.option(
    "--out", type=PATH, default=Path("runs/registry"), show_default=True,
    help="Where the run directories go; they can be gone on with.",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option("--device", help="cpu, cuda, cuda:1, mps or auto.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of each process.")
@AS_JSON
def verify_texts(
    folder: Path,
    settings: tuple[str, ...],
    ids: tuple[str, ...],
    out: Path,
    jobs: int,
    device: str | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure the texts of FOLDER again and compare with what they did.

    Exit code 3 when one no longer works, or works again that did not; 1 when one could not be measured; 2 when one was
    edited after it was frozen. --set changes every scenario, for instance to try the texts on another model or through
    a defence.
    """
    from testbed.commands.progress import watching
    from testbed.errors import UserError, hinted
    from testbed.frozen import read_folder, verify
    from testbed.frozen.verifying import CHANGED as ANSWERS

    entries = read_folder(folder)
    known = {entry.id: entry for entry in entries}
    for wanted in ids:
        if wanted not in known:
            raise UserError(hinted(f"{folder}: no text {wanted!r}", wanted, known))
    with resumable(out), ExitStack() as bars:

        def events(name: str) -> Events:
            bars.pop_all().close()
            return bars.enter_context(watching(name))

        found = verify(
            folder,
            [known[wanted] for wanted in dict.fromkeys(ids)] if ids else entries,
            out,
            overrides=overrides(settings, (), device, threads),
            jobs=jobs,
            events=events,
        )
    changed = [one for one in found if one.answer in ANSWERS]
    failed = [one for one in found if one.answer == "error"]
    if as_json:
        print_json({"schema": 1, "texts": [one.as_json() for one in found], "changed": len(changed)})
    else:
        for one in found:
            now = f"now {_said(one.effect)}; was {_said(one.entry.effect)}" if one.effect else ""
            told = "; ".join(part for part in (now, *map(visible, one.notes)) if part)
            click.echo(
                f"{one.entry.id}  {visible(one.entry.target)}, seed {one.entry.seed}: {one.answer}: {told}"
            )
        click.echo(f"{len(changed)} of {len(found)} texts changed")
    if any(one.entry.edited for one in found):
        raise SystemExit(EDITED)
    raise SystemExit(CHANGED if changed else FAILED if failed else 0)


def _said(effect: Effect) -> str:
    from testbed.tables.row import signed

    bounds = (
        ""
        if effect.low is None or effect.high is None
        else f" [{signed(effect.low, 2)}, {signed(effect.high, 2)}]"
    )
    return f"{effect.measure} {effect.estimate:+.2f}{bounds}"

"""`testbed audit`: which listings of a catalog look manipulated, to detectors and to the stack itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from testbed.commands.options import AS_JSON, PATH, SET, overrides, print_json, refuse_unwritable
from testbed.errors import UserError, shown, visible

if TYPE_CHECKING:
    from testbed.audit import Audit
    from testbed.audit.audit import Progress
    from testbed.catalog import Catalog
    from testbed.stack import Stack

FOUND = 3


@click.command("audit")
@click.argument("scenario", required=False, type=PATH)
@SET
@click.option("--catalog", help="Catalog instead of the scenario's: a name or {use: jsonl, path: FILE}.")
@click.option("--stack", help="Stack instead of the scenario's: a name, {use: ...} or a list of them.")
@click.option(
    "--detect", multiple=True, help="Detector beside those of the stack, a name or {use: ...}; repeatable."
)
@click.option("--item", "items", multiple=True, help="Only this listing; may be repeated.")
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="[NAME=]NUMBER",
    help="Flag above this score instead of the detector's own threshold; may be repeated.",
)
@click.option(
    "--rank-jump",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Places lost without a field that count.",
)
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="Share of rankings in which they must be lost.",
)
@click.option("--requests", type=click.IntRange(min=1), help="Rank for so many requests only.")
@click.option("--orders", type=click.IntRange(min=1), default=1, show_default=True, help="Orders a request.")
@click.option("--device", help="cpu, cuda, cuda:1, mps or auto.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads.")
@click.option("--sarif", "sarif_file", type=PATH, help="Write SARIF 2.1.0 to this file.")
@AS_JSON
def command(
    scenario: Path | None,
    settings: tuple[str, ...],
    catalog: str | None,
    stack: str | None,
    detect: tuple[str, ...],
    items: tuple[str, ...],
    thresholds: tuple[str, ...],
    rank_jump: int,
    share: float,
    requests: int | None,
    orders: int,
    device: str | None,
    threads: int | None,
    sarif_file: Path | None,
    as_json: bool,
) -> None:
    """Look for manipulated listings in the catalog of SCENARIO, or in --catalog as --stack ranks it.

    Detectors score each listing, and each field is left out once: a listing that falls without one of its fields
    whatever is asked is reported. Exit code 3 when something was found.
    """
    from testbed.audit import Limits, audit
    from testbed.commands.audited import built, chosen

    limits = Limits(_thresholds(thresholds), rank_jump, share, requests, orders)
    if sarif_file is not None:
        refuse_unwritable(sarif_file, "--sarif")
    subject = chosen(scenario, catalog, stack, detect, overrides(settings, (), device, threads))
    ranked, detectors = built(subject)
    if requests is not None:
        _say_fewer(requests, ranked)
    with _bar(subject.scenario.name) as progress:
        uses = {one.name: one.use for one in (*subject.scenario.stack, *subject.detectors)}
        found = audit(ranked, detectors, limits, items=items or None, uses=uses, progress=progress)
    for one in found.hidden:
        click.echo(f"warning: {visible(one.message)}", err=True)
    if as_json:
        print_json(found.as_json())
    else:
        _tell(found)
    if sarif_file is not None:
        _write_sarif(found, sarif_file)
    raise SystemExit(FOUND if found.findings else 0)


def _say_fewer(requests: int, ranked: Stack | Catalog) -> None:
    """A line on standard error where fewer requests are ranked than were asked for."""
    from testbed.catalog import Catalog

    if isinstance(ranked, Catalog):
        click.echo(f"--requests {requests}: nothing is ranked without --stack", err=True)
    elif requests > (there := len(ranked.catalog.requests)):
        click.echo(f"--requests {requests}: {ranked.catalog.name} has {there}; all are asked", err=True)


def _write_sarif(found: Audit, file: Path) -> None:
    from importlib.metadata import version

    from testbed.audit import sarif

    text = json.dumps(sarif(found, version("ranking-testbed")), indent=1) + "\n"
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as fault:
        raise UserError(f"--sarif {file}: cannot be written: {fault.strerror or fault}") from None


def _thresholds(texts: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            raise click.UsageError(f"--threshold {shown(text)}: {shown(number)} is not a number") from None
    return found


@contextmanager
def _bar(name: str) -> Iterator[Progress]:
    from testbed.commands.progress import counting

    with counting(name, "listings") as advance:
        yield advance


def _tell(found: Audit) -> None:
    detectors: tuple[str, ...] = found.detectors
    head = [
        f"{'listing':<28}",
        *(f"{name[:14]:>14}" for name in detectors),
        f"  {'field':<16} {'falls':>7} lost",
    ]
    click.secho(" ".join(head), bold=True)
    for one in found.listings:
        cells: list[Any] = [f"{visible(one.item)[:28]:<28}"]
        for name in detectors:
            verdict = one.verdicts[name]
            cells.append(f"{verdict.score:>13.3g}{'!' if verdict.flagged else ' '}")
        strongest = max(one.fields, key=lambda effect: (effect.share, effect.lost), default=None)
        if strongest is not None:
            cells.append(f"  {visible(strongest.field)[:16]:<16} {strongest.share:>7.0%} {strongest.lost:+g}")
        click.echo(" ".join(cells) + ("  <" if one.findings else ""))
    suspicious = [one for one in found.listings if one.findings]
    click.echo()
    for finding in found.findings:
        click.echo(f"{finding.level}: {visible(finding.item)}: {visible(finding.message)} [{finding.rule}]")
    asked = (
        f"{found.requests} requests, {found.limits.orders} orders each" if found.stages else "nothing ranked"
    )
    hidden = [f"{len(one.items)} only because of others to {visible(one.detector)}" for one in found.hidden]
    told = f"; not flagged: {', '.join(hidden)}, see the warning" if hidden else ""
    click.echo(f"{len(suspicious)} of {len(found.listings)} listings look manipulated ({asked}){told}")

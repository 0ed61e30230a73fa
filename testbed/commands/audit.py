"""`testbed audit`: which listings of a catalog look manipulated, to detectors and to the stack itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from testbed.commands.options import AS_JSON, SET, overrides, print_json
from testbed.errors import UserError, shown, visible

if TYPE_CHECKING:
    from testbed.audit import Audit
    from testbed.audit.audit import Progress
    from testbed.protocols import Detecting
    from testbed.scenario import Scenario
    from testbed.stack import Stack

FOUND = 3


@click.command("audit")
@click.argument("scenario", required=False, type=click.Path(path_type=Path))
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
@click.option(
    "--sarif", "sarif_file", type=click.Path(path_type=Path), help="Write SARIF 2.1.0 to this file."
)
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
    from testbed.audit import Limits, audit, sarif
    from testbed.language.precision import set_threads

    limits = Limits(_thresholds(thresholds), rank_jump, share, requests, orders)
    experiment = _experiment(scenario, catalog, stack, detect, overrides(settings, (), device, threads))
    set_threads(experiment.machine.threads)
    ranking, detectors = _built(experiment, len(detect))
    with _bar(experiment.name) as progress:
        found = audit(ranking, detectors, limits, items=items or None, progress=progress)
    if sarif_file is not None:
        from importlib.metadata import version

        text = json.dumps(sarif(found, version("ranking-testbed")), indent=1) + "\n"
        sarif_file.write_text(text, encoding="utf-8")
    if as_json:
        print_json(found.as_json())
    else:
        _tell(found)
    raise SystemExit(FOUND if found.findings else 0)


def _experiment(
    scenario: Path | None,
    catalog: str | None,
    stack: str | None,
    detect: tuple[str, ...],
    settings: list[str],
) -> Scenario:
    """The scenario with detectors behind its own stages, each reading the whole catalog."""
    from testbed.scenario import from_mapping, load

    given = [
        *([f"catalog={_choice(catalog)}"] if catalog else []),
        *([f"stack={_stack(stack)}"] if stack else []),
    ]
    if scenario is None:
        if not catalog or not (stack or detect):
            raise click.UsageError("name a SCENARIO, or --catalog with --stack or --detect")
        first = [] if stack else [f"stack=[{', '.join(_choice(one) for one in detect)}]"]
        data = {"version": 1, "name": "audit", "catalog": {"use": "x"}, "stack": [{"use": "x"}]}
        return _with(from_mapping(data, [*given, *first, *settings]), detect if stack else ())
    return _with(load(scenario, [*given, *settings]), detect)


def _with(experiment: Scenario, detect: tuple[str, ...]) -> Scenario:
    from testbed.scenario import from_mapping

    if not detect:
        return experiment
    more = ", ".join(_choice(one) for one in detect)
    made = from_mapping(
        {"version": 1, "name": "audit", "catalog": {"use": "x"}, "stack": [{"use": "x"}]},
        [f"catalog={json.dumps(experiment.as_dict()['catalog'])}", f"stack=[{more}]"],
    )
    return experiment.model_copy(update={"stack": (*experiment.stack, *made.stack)})


def _choice(text: str) -> str:
    return text if text.lstrip().startswith("{") else f"{{use: {text}}}"


def _stack(text: str) -> str:
    return text if text.lstrip().startswith("[") else f"[{_choice(text)}]"


def _built(experiment: Scenario, extra: int) -> tuple[Stack, dict[str, Detecting]]:
    """The stack that ranks, and detectors by name: those in it and the last `extra` choices."""
    from testbed.protocols import Detecting
    from testbed.world import build_stack, load_catalog

    catalog, environment = load_catalog(experiment), experiment.machine.environment()
    split = len(experiment.stack) - extra
    ranking = build_stack(experiment.stack[:split] or experiment.stack, catalog, environment)
    found: dict[str, Detecting] = {
        node.name: node.stage for node in ranking.nodes if isinstance(node.stage, Detecting)
    }
    for choice in experiment.stack[split:] if split else ():
        stage = choice.plugin.build(catalog, environment)
        if not isinstance(stage, Detecting):
            raise UserError(f"{choice.use!r} is no detector: it gives no verdicts on listings")
        found[choice.name] = stage
    return ranking, found


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
    click.echo(
        f"{len(suspicious)} of {len(found.listings)} listings look manipulated "
        f"({found.requests} requests, {found.limits.orders} orders each)"
    )

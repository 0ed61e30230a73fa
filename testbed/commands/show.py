"""`testbed show`: a run's answer, a scenario's plan, a plug-in's options, or a measure."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from testbed.commands.options import AS_JSON, FilePath, print_json, say_bounds
from testbed.errors import UnknownNameError, UserError, hinted, visible

if TYPE_CHECKING:
    from testbed.protocols import Plugin
    from testbed.store import RunDirectory

KINDS = ("stages", "attacks", "objectives", "catalogs", "trainers", "observers")


@click.command("show")
@click.argument("what", type=FilePath())
@click.option("--all", "everything", is_flag=True, help="All measures of a run, not only its scenario's.")
@click.option("--diagnostics", "under", is_flag=True, help="What lies under the effects of a run.")
@click.option(
    "--names", metavar="MODEL", help="With --diagnostics: effects by how likely MODEL finds a name."
)
@AS_JSON
def command(what: str, everything: bool, under: bool, names: str | None, as_json: bool) -> None:
    """Show WHAT: a run directory, a scenario file, or a plug-in or measure by name.

    A name may have its kind before it: `gcg` or `attacks/gcg`, `lift@1` or `measures/lift@1`.
    """
    from testbed.cube import is_cube, is_cube_run

    path = Path(what)
    if under or names:
        _show_diagnostics(path, names, as_json)
    elif is_cube_run(path):
        show_cube(path, as_json, everything=everything)
    elif is_cube(path):
        _show_cube_file(path, as_json)
    elif path.is_dir():
        _show_run(path, everything, as_json)
    elif path.is_file():
        _show_scenario(path, as_json)
    else:
        _show_named(what, as_json)


def _show_run(path: Path, everything: bool, as_json: bool) -> None:
    from testbed.store import RunDirectory
    from testbed.tables import read_manifest, tables_of

    run = RunDirectory.open(path)
    manifest = read_manifest(path)
    if not as_json and manifest.get("state") != "finished":
        click.echo(_unfinished(run, manifest))
    tables = tables_of(path)
    wanted = set(manifest.get("measures", ()))
    if as_json:
        print_json(tables)
        return
    click.echo(visible(tables["verdict"]["sentence"]))
    click.echo()
    header = f"{'measure':<12} {'target':<22} {'arm':<14} {'against':<14} {'estimate':>9}  interval"
    click.secho(header, bold=True)
    place: tuple[str, str | None] | None = None
    for row in tables["rows"]:
        if row["selection"] != "mean" or row["estimate"] is None or row["section"] == "transfer":
            continue
        if not row["against"] and tables["run"]["attack"] is not None:
            continue
        sign = "+" if row["against"] else ""
        if everything or row["measure"] in wanted:
            if place != (row["arm"], row["against"]):
                place = row["arm"], row["against"]
                click.secho("\n" + " against ".join(visible(arm) for arm in place if arm), bold=True)
            click.echo(
                f"{visible(row['measure']):<12} {visible(row['target']):<22} {visible(row['arm']):<14} "
                f"{visible(row['against'] or ''):<14} {row['estimate']:>{sign}9.3f}  {say_bounds(row)}"
            )
    _print_survival(tables)
    _print_transfer(tables, manifest)


def _show_diagnostics(path: Path, names: str | None, as_json: bool) -> None:
    from testbed.commands.diagnostics import lines_of
    from testbed.records import read_records
    from testbed.tables import read_manifest, tables_of
    from testbed.tables.run import Run

    tables = tables_of(path)
    found: dict[str, Any] = {"schema": 1, **tables["diagnostics"]}
    found["order"] = [row for row in tables["rows"] if row["section"] == "order"]
    found["slots"] = tables["slots"]
    if names:
        from testbed.environment import Environment
        from testbed.tables.familiarity import familiarity, name_log_probs

        run = Run.of(read_records(path / "trials.jsonl"), read_manifest(path))
        model = Environment().language_model(names)
        log_p = name_log_probs(model, {target: run.name_of(target) for target in run.targets})
        found["names"] = {"model": names, **familiarity(run, log_p, tables["verdict"]["measure"])}
    if as_json:
        print_json(found)
        return
    for line in lines_of(found):
        click.echo(line)


def show_cube(path: Path, as_json: bool, measures: Sequence[str] = (), everything: bool = False) -> None:
    """Print the tables of a cube's directory; by these measures, or by all that its cells have."""
    from testbed.cube.running import read_cube
    from testbed.cube.tables import cube_tables
    from testbed.cube.text import lines_of

    tables = cube_tables(path, read_cube(path), measures, everything=everything)
    if as_json:
        print_json(tables)
        return
    for line in lines_of(tables):
        click.echo(line)


def _show_cube_file(path: Path, as_json: bool) -> None:
    from testbed.cube import load_cube

    cube = load_cube(path)
    if as_json:
        print_json(cube.as_json())
        return
    for axis, levels in cube.axes.items():
        click.echo(f"{axis:<8} {', '.join(levels)}{f' {cube.unit}' if axis == 'budget' else ''}")
    for cell in cube.cells:
        click.echo(f"{cell.scenario.hash}  {' '.join(cell.place.values())}")


def _print_survival(tables: Mapping[str, Any]) -> None:
    """Rankings that still had the target after each stage, arm by arm; nothing for a stack of one stage."""
    counts: dict[str, dict[str, int]] = {}
    rankings: dict[str, int] = {}
    stages = list(dict.fromkeys(row["stage"] for row in tables["survival"]))
    for row in tables["survival"]:
        arm = counts.setdefault(row["arm"], dict.fromkeys((*stages, "first"), 0))
        arm[row["stage"]] += row["out"]
        if row["stage"] == stages[-1]:
            arm["first"] += row["first"]
            rankings[row["arm"]] = rankings.get(row["arm"], 0) + row["n"]
    if len(stages) < 2:
        return
    click.secho("\nrankings with the target after each stage, and with it first", bold=True)
    heads = [visible(name)[:18] for name in (*stages, "first")]
    click.echo(f"{'arm':<16}" + "".join(f"{head:>{len(head) + 2}}" for head in heads) + "     of")
    for name, arm in counts.items():
        cells = "".join(f"{arm[key]:>{len(head) + 2}}" for key, head in zip(arm, heads, strict=True))
        click.echo(f"{visible(name):<16}{cells}{rankings[name]:>7}")
    lost: dict[str, dict[str, int]] = {}
    for row in tables.get("lost", ()):
        if row["stages"]:
            where = " and ".join(map(visible, row["stages"]))
            arm = lost.setdefault(row["arm"], {})
            arm[where] = arm.get(where, 0) + row["n"]
    for name, found in lost.items():
        told = ", ".join(f"{n} at {where}" for where, n in found.items())
        click.echo(f"{visible(name)}: {sum(found.values())} rankings lost the target, {told}")


def _print_transfer(tables: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    """What texts found on each source do to each victim; nothing where no text travels."""
    from testbed.tables.transfer import matrix, parties

    found = matrix(tables["rows"], "lift@1")
    if not found:
        return
    sources, victims = parties(manifest.get("transfer", {}))
    wide = max(map(len, sources), default=0) + 2
    click.secho("\nlift@1 by source (rows) and victim, 95 % interval", bold=True)
    click.echo(" " * wide + "".join(f"{visible(name)[:22]:<24}" for name in victims).rstrip())
    for one in sources:
        cells = [found.get((one, other)) for other in victims]
        told = [f"{row['estimate']:+.2f} {say_bounds(row)}" if row else "-" for row in cells]
        click.echo(f"{visible(one):<{wide}}" + "".join(f"{text:<24}" for text in told).rstrip())


def _unfinished(run: RunDirectory, manifest: Mapping[str, Any]) -> str:
    """How far a run got; the state alone where its manifest does not say how much there is to do."""
    from testbed.plan import SEEDED
    from testbed.records import EvaluationRecord, iter_records

    state = visible(str(manifest.get("state")))
    try:
        splits, seeds = manifest["splits"], len(manifest["seeds"])
        arms = sum(seeds if arm in SEEDED else 1 for arm in manifest["arms"])
        cells = len(splits["test"]) * arms + len(splits.get("validate", ())) * (1 + seeds)
        total = cells * max(1, len(manifest["targets"]))
    except (KeyError, TypeError, AttributeError):
        return f"unfinished ({state})"
    file = run.path / "trials.jsonl"
    records = iter_records(file) if file.is_file() else ()
    done = sum(
        isinstance(one, EvaluationRecord) and one.source is None and one.victim is None for one in records
    )
    return f"unfinished: {done} of {total} rankings so far ({state})"


def _show_scenario(path: Path, as_json: bool) -> None:
    from testbed.estimate import estimate
    from testbed.scenario import load

    scenario = load(path)
    if as_json:
        print_json(
            {"schema": 1, "scenario": scenario.as_dict(), "hash": scenario.hash, "cost": estimate(scenario)}
        )
        return
    click.echo(scenario.to_yaml())
    for key, value in estimate(scenario).items():
        click.echo(f"# {key.replace('_', ' ')}: {value if value is not None else 'not known beforehand'}")


def _show_named(what: str, as_json: bool) -> None:
    kind, _, name = what.rpartition("/")
    found = _find(kind, name) if kind != "measures" else None
    if found:
        _show_plugin(*found, as_json)
    elif kind in ("", "measures"):
        _show_measure(what, name, as_json)
    else:
        raise _unknown(what, name)


def _show_measure(what: str, name: str, as_json: bool) -> None:
    from testbed.measures.names import parse, summary

    try:
        measure, about = parse(name), summary(name)
    except UserError:
        if what != name:
            raise
        raise _unknown(what, name) from None
    if as_json:
        print_json(
            {"schema": 1, "kind": "measures", "name": name, "section": measure.section, "summary": about}
        )
        return
    click.secho(f"measures/{name}", bold=True)
    click.echo(f"{about}\nsection: {measure.section}")


def _show_plugin(plugin: type[Plugin], kind: str, name: str, as_json: bool) -> None:
    options = [
        {
            "name": field_name,
            "default": None if field.is_required() else field.get_default(call_default_factory=True),
            "required": field.is_required(),
            "about": inspect.cleandoc(field.description or ""),
        }
        for field_name, field in plugin.model_fields.items()
    ]
    if as_json:
        import json

        print_json(
            json.loads(json.dumps({"schema": 1, "kind": kind, "name": name, "options": options}, default=str))
        )
        return
    click.secho(f"{kind}/{name}", bold=True)
    click.echo(inspect.cleandoc(plugin.__doc__ or ""))
    for option in options:
        default = "required" if option["required"] else f"default {option['default']!r}"
        click.echo(f"\n  {option['name']} ({default})")
        if option["about"]:
            click.echo(textwrap.indent(str(option["about"]), " " * 6))


def _find(kind: str, name: str) -> tuple[type[Plugin], str, str] | None:
    from testbed.registry import installed

    for group in (kind,) if kind else KINDS:
        if group in KINDS and name in installed().names(group):
            return installed().get(group, name), group, name
    return None


def _unknown(what: str, name: str) -> UserError:
    from testbed.measures.names import names
    from testbed.registry import installed

    known = [*(entry for kind in KINDS for entry in installed().names(kind)), *names()]
    return UnknownNameError(
        hinted(f"{what!r} is no run directory, scenario file, plug-in or measure", name, known)
    )

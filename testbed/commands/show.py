"""`testbed show`: a run's answer, a scenario's plan, or a plug-in's options."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from testbed.commands.options import AS_JSON, print_json
from testbed.errors import UnknownNameError, hinted

if TYPE_CHECKING:
    from testbed.protocols import Plugin

KINDS = ("stages", "attacks", "objectives", "catalogs")


@click.command("show")
@click.argument("what")
@click.option("--all", "everything", is_flag=True, help="All measures of a run, not only its scenario's.")
@AS_JSON
def command(what: str, everything: bool, as_json: bool) -> None:
    """Show WHAT: a run directory, a scenario file, or a plug-in by name (`gcg` or `attacks/gcg`)."""
    path = Path(what)
    if path.is_dir():
        _show_run(path, everything, as_json)
    elif path.is_file():
        _show_scenario(path, as_json)
    else:
        _show_plugin(what, as_json)


def _show_run(path: Path, everything: bool, as_json: bool) -> None:
    from testbed.store import RunDirectory
    from testbed.tables import read_manifest, tables_of

    RunDirectory.open(path)
    tables = tables_of(path)
    wanted = set(read_manifest(path).get("measures", ()))
    if as_json:
        print_json(tables)
        return
    click.echo(tables["verdict"]["sentence"])
    click.echo()
    header = f"{'measure':<12} {'target':<22} {'arm':<14} {'against':<14} {'estimate':>9}  interval"
    click.secho(header, bold=True)
    for row in tables["rows"]:
        if row["selection"] != "mean" or row["estimate"] is None or not row["against"]:
            continue
        if everything or row["measure"] in wanted:
            bounds = "" if row["low"] is None else f"[{row['low']:+.3f}, {row['high']:+.3f}]"
            click.echo(
                f"{row['measure']:<12} {_plain(row['target']):<22} {row['arm']:<14} "
                f"{row['against'] or '':<14} {row['estimate']:>+9.3f}  {bounds}"
            )


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


def _show_plugin(what: str, as_json: bool) -> None:
    plugin, kind, name = _find(what)
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
            click.echo(f"      {option['about']}")


def _find(what: str) -> tuple[type[Plugin], str, str]:
    from testbed.registry import installed

    registry = installed()
    wanted, _, name = what.rpartition("/")
    known = {f"{kind}/{entry}": (kind, entry) for kind in KINDS for entry in registry.names(kind)}
    for kind, entry in known.values():
        if entry == name and (not wanted or wanted == kind):
            return registry.get(kind, entry), kind, entry
    names = [entry for _, entry in known.values()]
    raise UnknownNameError(hinted(f"{what!r} is no run directory, scenario file or plug-in", name, names))


def _plain(value: Any) -> str:
    return "".join(char if char.isprintable() else "?" for char in str(value))

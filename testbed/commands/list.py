"""`testbed list`: what there is to choose from."""

from __future__ import annotations

import click

from testbed.commands.options import AS_JSON, print_json

KINDS = ("stages", "attacks", "objectives", "catalogs", "trainers", "observers", "measures")


@click.command("list")
@click.argument("kind", required=False, type=click.Choice(KINDS))
@AS_JSON
def command(kind: str | None, as_json: bool) -> None:
    """List plug-ins and measures, all or those of one KIND, with a line on each."""
    found = {name: _entries(name) for name in ([kind] if kind else KINDS)}
    if as_json:
        print_json({"schema": 1, **found})
        return
    for group, entries in found.items():
        click.secho(group, bold=True)
        width = max((len(entry["name"]) for entry in entries), default=0)
        for entry in entries:
            click.echo(f"  {entry['name']:<{width}}  {entry['summary']}")


def _entries(kind: str) -> list[dict[str, str]]:
    if kind == "measures":
        from testbed.measures.names import names
        from testbed.measures.names import summary as line_on

        return [{"name": name, "summary": line_on(name)} for name in names()]
    from testbed.errors import PluginError
    from testbed.registry import installed

    registry = installed()
    found = []
    for name in registry.names(kind):
        try:
            summary = registry.get(kind, name).about()
        except PluginError as fault:
            summary = f"cannot be used: {fault}"
        found.append(
            {"name": name, "summary": summary, "distribution": registry.entry(kind, name).distribution}
        )
    return found

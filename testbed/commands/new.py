"""`testbed new`: starting points that run as they are."""

from __future__ import annotations

import keyword
import re
import shlex
import sys
from pathlib import Path

import click

from testbed.commands.options import PATH
from testbed.errors import UserError, visible

KINDS = ("scenario", "attack", "stage")
OWN = ("testbed", "attacks", "retrievers", "catalogs")
"""Packages of this distribution, which a plug-in's module would hide."""


@click.command("new")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("path", type=PATH)
def command(kind: str, path: Path) -> None:
    """Start a KIND at PATH: a scenario file, or an installable package with one attack or stage."""
    if path.exists():
        raise UserError(f"{path}: exists already; choose another name")
    if kind == "scenario":
        path = path if path.suffix else path.with_suffix(".yaml")
        if path.exists():
            raise UserError(f"{path}: exists already; choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_template("scenario.yaml", path.stem), encoding="utf-8")
        click.echo(f"{path}: try  testbed check {shlex.quote(str(path))}")
        return
    name = path.name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UserError(f"{path.name!r} cannot be a module name; use lower-case letters, digits and '_'")
    _refuse_taken(kind, name)
    path.mkdir(parents=True)
    (path / "pyproject.toml").write_text(_template("pyproject.toml", name, kind), encoding="utf-8")
    (path / f"{name}.py").write_text(_template(f"{kind}.py", name), encoding="utf-8")
    (path / f"test_{name}.py").write_text(_template(f"test_{kind}.py", name), encoding="utf-8")
    click.echo(f"{path}: try  pip install -e {shlex.quote(str(path))}  and then  testbed show {name}")


def _refuse_taken(kind: str, name: str) -> None:
    """UserError when a module or a plug-in of that name would stand in another's way."""
    from testbed.registry import installed

    if name in OWN:
        raise UserError(f"{name!r} is a package of the testbed itself; choose another name")
    if name in sys.stdlib_module_names:
        raise UserError(f"{name!r} is a module of Python's standard library; choose another name")
    group = f"{kind}s"
    if name in installed().names(group):
        owner = visible(installed().entry(group, name).distribution)
        raise UserError(f"the {kind} {name!r} exists already, in {owner}; choose another name")


def _template(file: str, name: str, kind: str = "") -> str:
    from importlib.resources import files

    text = (files("testbed.commands") / "templates" / f"{file}.txt").read_text(encoding="utf-8")
    slug = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-") or "mine"
    title = "".join(part.capitalize() for part in name.split("_"))
    for placeholder, value in {"@slug@": slug, "@name@": name, "@Class@": title, "@kind@": kind}.items():
        text = text.replace(placeholder, value)
    return text

"""Writes attacks.md and defences.md here, from docstrings of the plug-ins: `python docs/reference/generate.py`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from testbed.protocols import Access, Plugin
from testbed.registry import OWN_DISTRIBUTION, installed

HERE = Path(__file__).parent
PAGES = {
    "attacks.md": (
        "attacks",
        "attacks",
        "Attacks",
        "Every attack that comes with the testbed. [Attacks](../attacks.md) says which to take for which access, and "
        "what each costs; [writing an attack](../writing-an-attack.md) how to add one.",
    ),
    "defences.md": (
        "stages",
        "defences",
        "Defences",
        "Every defence that comes with the testbed, a stage of its own or around another one. "
        "[Defences](../defences.md) says what they hold and what they cost; [writing a stage](../writing-a-stage.md) "
        "how to add one.",
    ),
}
"""File → kind of plug-in, package, title and introduction."""


def pages() -> dict[str, str]:
    """File name → its text."""
    return {file: "\n".join(_page(*about)) for file, about in PAGES.items()}


def _page(kind: str, package: str, title: str, lead: str) -> Iterator[str]:
    registry = installed()
    names = [
        name
        for name in registry.names(kind)
        if registry.entry(kind, name).distribution == OWN_DISTRIBUTION
        and registry.entry(kind, name).value.startswith(f"{package}.")
    ]
    plugins = {name: registry.get(kind, name) for name in names}
    yield f"# {title}"
    yield ""
    yield "Written by `python docs/reference/generate.py` from the docstrings; edit those."
    yield ""
    yield lead
    yield ""
    yield "| `use` | what it does |" if kind == "stages" else "| `use` | access | what it does |"
    yield "|---|---|" if kind == "stages" else "|---|---|---|"
    for name, plugin in plugins.items():
        access = "" if kind == "stages" else f" {_access(plugin)} |"
        yield f"| [{name}](#{name}) |{access} {_cell(plugin.about())} |"
    for name, plugin in plugins.items():
        yield from _section(name, plugin, registry.entry(kind, name).value)
    yield ""


def _section(name: str, plugin: type[Plugin], value: str) -> Iterator[str]:
    module = value.partition(":")[0]
    yield ""
    yield f"## {name}"
    yield ""
    yield inspect.cleandoc(plugin.__doc__ or "")
    yield ""
    source = inspect.getsourcefile(plugin) or ""
    path = Path(source).resolve().relative_to(HERE.parents[1]).as_posix()
    yield f"`{module.rpartition('.')[2]}` in [{path}](../../{path})"
    if plugin.model_fields:
        yield ""
        yield "| option | default | |"
        yield "|---|---|---|"
    for option, field in plugin.model_fields.items():
        default = (
            "required"
            if field.is_required()
            else f"`{_default(field.get_default(call_default_factory=True))}`"
        )
        yield f"| `{field.alias or option}` | {default} | {_cell(inspect.cleandoc(field.description or ''))} |"


def _access(plugin: type[Plugin]) -> str:
    found: Any = inspect.getattr_static(plugin, "access", Access.none)
    return found.name if isinstance(found, Access) else "by its options"


def _default(value: Any) -> str:
    if isinstance(value, Plugin):
        return f"{{use: {installed().name_of('stages', type(value)) or type(value).__name__}}}"
    text = repr(list(value) if isinstance(value, tuple) else value)
    text = {"None": "null", "True": "true", "False": "false"}.get(text, text)
    return text if len(text) <= 80 else text[:79] + "…"


def _cell(text: str) -> str:
    """Text that stands in one cell of a table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def write() -> None:
    """Write the pages."""
    for file, text in pages().items():
        (HERE / file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()

"""Builds report.html: one file, no scripts, nothing loaded, the same bytes for the same run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

    from testbed.records import Record

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def write_report(run_dir: str | Path, tables: Mapping[str, Any] | None = None) -> Path:
    """Writes report.html of a run directory, all or nothing, and returns its path.

    `tables`: the content of tables.json where it is at hand; otherwise it is built anew. UserError when the folder
    is not a run or its records cannot be read.
    """
    from testbed.records import read_records
    from testbed.store import REPORT, SCENARIO, TIMINGS, TRIALS, RunDirectory
    from testbed.tables import tables_of

    run = RunDirectory.open(run_dir)
    records = read_records(run.path / TRIALS)
    page = render(
        tables if tables is not None else tables_of(run.path),
        run.manifest,
        records,
        _text(run.path / SCENARIO),
        read_timings(run.path / TIMINGS),
    )
    path = run.path / REPORT
    draft = path.with_name(path.name + ".part")
    draft.write_text(page, encoding="utf-8", newline="\n")
    os.replace(draft, path)
    return path


def render(
    tables: Mapping[str, Any],
    manifest: Mapping[str, Any],
    records: Iterable[Record] = (),
    scenario: str = "",
    timings: Mapping[str, float] | None = None,
) -> str:
    """The page as a string; a pure function of its arguments."""
    from testbed.report.sections import (
        diagnostics,
        effects,
        examples,
        order,
        provenance,
        quality,
        ranks,
        search,
        stages,
        transfer,
        verdict,
        victim,
    )
    from testbed.report.source import Source

    source = Source(tables, manifest, list(records), scenario, dict(timings or {}))
    sections = [
        effects.effects(source),
        *transfer.transfer(source),
        ranks.ranks(source),
        ranks.shifts(source),
        stages.survival(source),
        stages.stack(source),
        quality.quality(source),
        quality.harm(source),
        order.order(source),
        *diagnostics.diagnostics(source),
        search.convergence(source),
        search.costs(source),
        search.statuses(source),
    ]
    files = resources.files("testbed.report")
    texts = [(files / file).read_text(encoding="utf-8") for file in ("macros.html.jinja", "page.html.jinja")]
    template = environment().from_string("".join(texts))
    return template.render(
        policy=POLICY,
        style=(files / "style.css").read_text(encoding="utf-8"),
        title=str(manifest.get("name") or "run"),
        verdict=verdict.verdict(source),
        victim=victim.victim(source),
        sections=sections,
        examples=examples.examples(source),
        facts=provenance.facts(source),
        reading=provenance.READING,
        scenario=source.scenario,
        numbers=provenance.all_rows(source),
    )


def read_timings(path: Path) -> dict[str, float]:
    """Seconds by trial key; torn or foreign lines are passed over."""
    found: dict[str, float] = {}
    for line in _text(path).splitlines():
        try:
            entry = json.loads(line)
            found[str(entry["key"])] = float(entry["seconds"])
        except (ValueError, TypeError, KeyError):
            continue
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def environment() -> Environment:
    """Autoescape always on, unknown names are errors, and every string shows what it hides."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    from testbed.report.text import plain, visible

    def shown(value: object) -> object:
        return value if isinstance(value, Markup) or not isinstance(value, str) else plain(value)

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=shown, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["visible"] = visible
    environment.filters["trusted"] = Markup
    return environment

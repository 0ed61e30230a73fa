"""Where the numbers come from, and all of them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from testbed.report.numbers import bracket, number, probability, unit_of
from testbed.report.page import Section, Table
from testbed.report.source import ALL, Source, arm_label, measure_label
from testbed.report.text import name
from testbed.tables.row import same, whose_p

MOST_ROWS = 1200
READING = (
    "Lift is the share of rankings that place the target well under attack minus the same share without; 43 points may "
    "mean from 10 % to 53 %.",
    "Square brackets hold a 95 % interval. Where it includes zero, the run does not show an effect; it does not show "
    "that there is none: compare the smallest detectable effect.",
    "Every arm saw the same held-out requests in the same orders; texts were searched for on other situations.",
    "An effect counts as the attack's own when attack minus random tokens is above zero and random tokens alone do not "
    "lift. Controls need not be neutral: honest text that lifts is a finding, and attack minus it says what lies add.",
    "Pairs are rankings compared, texts are targets times attack seeds: few texts, wide intervals, whatever the pairs.",
)


def facts(source: Source) -> list[tuple[str, str]]:
    """Term and text: what made this run."""
    manifest = source.manifest
    found: list[tuple[str, Any]] = [
        ("Run", name(manifest.get("name", ""), 80)),
        ("Scenario hash", manifest.get("scenario_hash")),
        ("State", manifest.get("state")),
        (
            "Started, finished",
            " – ".join(str(manifest[key]) for key in ("started", "finished") if manifest.get(key)),
        ),
        (
            "Device, type, threads",
            ", ".join(str(manifest[key]) for key in ("device", "dtype", "threads") if manifest.get(key)),
        ),
        ("Machine", ", ".join(map(str, source.section("machine").values()))),
        (
            "Versions",
            ", ".join(f"{package} {version}" for package, version in source.section("versions").items()),
        ),
    ]
    if source.surrogates:
        found.append(("Searched on", "; ".join(map(_summary, source.surrogates))))
        found.append(("Measured on", _summary(source.stack)))
    for option, start in source.section("warm_start").items():
        if isinstance(start, Mapping):
            found.append(
                (f"Text to start from ({name(option)})", f"scenario hash {start.get('scenario_hash')}")
            )
    for label, about in source.section("models").items():
        if isinstance(about, Mapping):
            words = ", ".join(f"{key} {value}" for key, value in about.items() if value is not None)
            found.append((f"Model {name(label)}", words))
    catalog = source.section("catalog")
    found.append(
        ("Catalog", ", ".join(f"{key} {value}" for key, value in catalog.items() if key != "rule" and value))
    )
    if catalog.get("rule"):
        found.append(("Grading rule", catalog["rule"]))
    splits = {part: len(rows) for part, rows in source.section("splits").items() if isinstance(rows, list)}
    found.append(("Situations by split", ", ".join(f"{part} {amount}" for part, amount in splits.items())))
    found.append(("Attack seeds", ", ".join(map(str, source.listed("seeds")))))
    argv = [str(part) for part in source.listed("argv")]
    found.append(("Command", shlex.join(argv) if argv else "run from Python, no command line"))
    return [(term, name(text, 900)) for term, text in found if text]


def _summary(stack: Sequence[Mapping[str, Any]]) -> str:
    """A stack in one line: `bm25 → llm (smollm2-135m, json)`."""
    parts = []
    for stage in stack:
        options = stage.get("options")
        known = options if isinstance(options, Mapping) else {}
        told = [name(known[key], 60) for key in ("model", "encoder", "template") if known.get(key)]
        parts.append(name(stage.get("use", "?")) + (f" ({', '.join(told)})" if told else ""))
    return " → ".join(parts)


def all_rows(source: Source) -> Section:
    """Every row of tables.json, or the pooled ones where there are too many."""
    rows = list(source.tables["rows"])
    lead = (
        "Every estimate with its interval and the number of rankings or pairs behind it, as in tables.json."
    )
    if len(rows) > MOST_ROWS:
        every = len(rows)
        rows = [row for row in rows if row["target"] == ALL][:MOST_ROWS]
        lead += f" {every} rows are too many for a page: here are the {len(rows)} pooled over targets."
    lead = f"{lead} {whose_p(rows)}".strip()
    tables = [
        Table(
            ["measure", "target", "arm", "against", "estimate", "95 % interval", "n", "p"],
            [_cells(source, row) for row in rows if row["section"] == section],
            f"{title} ({sum(row['section'] == section for row in rows)} rows)",
            words=4,
        )
        for section, title in SECTIONS.items()
        if any(row["section"] == section for row in rows)
    ]
    if not tables:
        return Section("rows", "All numbers", missing="The run gave no numbers.")
    return Section("rows", "All numbers", lead, tables=tables)


SECTIONS = {
    "effect": "Effects",
    "level": "Levels",
    "quality": "Quality",
    "harm": "Harm",
    "order": "Order",
    "survival": "Survival",
    "transfer": "Transfer",
    "attack": "Searches",
    "cost": "Costs",
}


def _way(row: Mapping[str, Any]) -> str:
    """Whose text and which victim, in rows about texts that travel."""
    if not row.get("victim"):
        return ""
    from_where = f" of {name(row['source'], 20)}" if row.get("source") else ""
    return f"{from_where} on {name(row['victim'], 20)}"


def _cells(source: Source, row: Mapping[str, Any]) -> list[str]:
    unit = unit_of(row)
    percent = {"points": " points", "share": " %"}.get(unit, "")
    return [
        measure_label(row["measure"]),
        "all" if row["target"] == ALL else source.name_of(row["target"], 24),
        arm_label(row["arm"]) + (", best seed" if row["selection"] != "mean" else "") + _way(row),
        arm_label(row["against"] or ""),
        number(row["estimate"], unit) + (percent if row["estimate"] is not None else ""),
        bracket(row, unit) or same(row),
        number(row["n"], "count"),
        probability(row["p"]) if row["p"] is not None else "",
    ]

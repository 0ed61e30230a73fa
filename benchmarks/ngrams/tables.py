"""The measurements as Markdown tables, and their place in docs/ngram-index.md."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from statistics import median
from typing import Any

from engine.log import Log
from engine.tables import between, processor, rows

from ngrams.extrapolation import PowerLaw, fitted
from ngrams.sections import LAYOUTS, PEER
from ngrams.targets import targets

INDEXES = (*LAYOUTS, PEER)
NAMES = {**{name: f"ours, {name}" for name in LAYOUTS}, PEER: "infini-gram 2.6"}
BEYOND = (200_000_000, 500_000_000, 1_000_000_000)
"""Sizes that are extrapolated to; an index of 16-bit codes holds fewer than 2³⁰ tokens."""


def tables(log: Log) -> dict[str, str]:
    """Section → table, for what has been measured."""
    makers = {
        "machine": machine, "targets": targets, "build": build, "steps": steps, "ngrams": ngrams, "locate": locate,
        "agreed": agreed, "masks": masks, "growth": growth, "files": files, "edits": edits, "stage": stage,
    }  # fmt: skip
    made = {name: make(log) for name, make in makers.items()}
    return {name: table for name, table in made.items() if table}


def machine(log: Log) -> str:
    """On what and with what it was measured."""
    import numba
    import numpy as np
    import torch

    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    options = log.entries.get("options", {}).get("options", {})
    facts = [
        ("processor", f"{processor()}, {os.cpu_count()} logical cores, {memory:.0f} GiB"),
        ("threads", options.get("threads", "–")),
        ("versions", f"Python {platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}, "
                     f"torch {torch.__version__}"),
        ("repeats", f"{options.get('repeats', '–')}, infini-gram {options.get('peer_repeats', '–')}, each with "
                    "other n-grams; medians of CPU time"),
    ]  # fmt: skip
    return rows(("what", "value"), facts)


def build(log: Log) -> str:
    """What an index takes to make and to hold."""
    lines = []
    for corpus in corpora(log):
        for index in INDEXES:
            if found := log.entries.get(f"build/{corpus}/{index}"):
                size = found["bytes"] / found["tokens"]
                cost = [f"{found[unit]:.1f}" for unit in ("cpu", "wall")]
                lines.append(
                    (
                        corpus,
                        f"{found['tokens']:,}",
                        NAMES[index],
                        *cost,
                        f"{size:.1f}",
                        f"{found['peak']:.0f}",
                    )
                )
            elif failed := log.entries.get(f"failed/{corpus}/{index}"):
                lines.append((corpus, "–", NAMES[index], failed["failed"], "–", "–", "–"))
    head = (
        "corpus",
        "tokens",
        "index",
        "build, CPU s",
        "build, s",
        "bytes a token",
        "peak while building, MiB",
    )
    return rows(head, lines) if lines else ""


def steps(log: Log) -> str:
    """Microseconds a beam-step, one row for each number of beams."""
    there = keys(log, "steps")
    depths = sorted({int(key[3]) for key in there})
    lines = []
    for corpus in corpora(log):
        for index in INDEXES:
            for beams in sorted({int(key[4]) for key in there}):
                cells = [log.entries.get(f"steps/{corpus}/{index}/{depth}/{beams}") for depth in depths]
                if any(cells):
                    label = "one by one" if index == PEER else beams
                    lines.append((corpus, NAMES[index], label, *map(_step, cells)))
    head = ("corpus", "index", "beams", *(f"depth {depth}, µs" for depth in depths))
    return rows(head, lines) if lines else ""


def ngrams(log: Log) -> str:
    """How often the n-grams of the steps occur and in how many ways they go on."""
    lines = []
    there = keys(log, "steps")
    depths, widest = sorted({int(key[3]) for key in there}), max((int(key[4]) for key in there), default=0)
    for corpus in corpora(log):
        cells = [log.entries.get(f"steps/{corpus}/with bigrams/{depth}/{widest}") for depth in depths]
        if all(cells):
            shown = [f"{cell['rows']:,.1f} / {cell['children']:,.1f}" for cell in cells if cell]
            lines.append((corpus, *shown))
    return rows(("corpus", *(f"depth {depth}" for depth in depths)), lines) if lines else ""


def locate(log: Log) -> str:
    """Microseconds a row."""
    lines = [
        (corpus, NAMES[index], f"{found['rows']:,.0f}", short(median(found["us"])))
        for corpus in corpora(log)
        for index in INDEXES
        if (found := log.entries.get(f"locate/{corpus}/{index}"))
    ]
    return rows(("corpus", "index", "rows located", "µs a row"), lines) if lines else ""


def agreed(log: Log) -> str:
    """On how many n-grams both indexes say the same."""
    said = [
        f"{one['key'].split('/')[1]}: {one['same']} of {one['compared']} n-grams" for one in log.of("agreed")
    ]
    return "Occurrences and number of continuations are the same for " + "; ".join(said) + "." if said else ""


def masks(log: Log) -> str:
    """Three ways to the best allowed continuations."""
    lines = []
    for _, corpus, beams in keys(log, "masks"):
        found = log.entries[f"masks/{corpus}/{beams}"]
        lines.append((corpus, beams, *(short(median(found[name])) for name in ("mask", "copy", "gather"))))
    head = ("corpus", "beams", "mask beam by beam, µs", "masked copy, µs", "allowed ones only, µs")
    return rows(head, lines) if lines else ""


def files(log: Log) -> str:
    """Writing and opening."""
    lines = []
    for _, corpus in keys(log, "files"):
        found = log.entries[f"files/{corpus}"]
        times = [f"{1000 * value:.1f}" for value in (found["save"], *(median(found[n]) for n in OPENED))]
        lines.append((corpus, f"{found['bytes'] / 1e6:.1f}", *times))
    head = ("corpus", "file, MB", "save, ms", "open and check all, ms", "open, ms", "first search, ms")
    return rows(head, lines) if lines else ""


OPENED = ("verified", "mapped", "search")


def edits(log: Log) -> str:
    """Replacing documents."""
    lines = []
    for _, corpus, count in keys(log, "edits"):
        found = log.entries[f"edits/{corpus}/{count}"]
        again = log.entries[f"build/{corpus}/with bigrams"]["cpu"]
        took = median(found["cpu"])
        cost = [f"{1000 * took:.1f}", f"{1000 * again:.0f}", f"{again / took:.0f}"]
        lines.append(
            (corpus, found["documents"], *cost, *(short(median(found[n])) for n in ("before", "after")))
        )
    head = ("corpus", "documents replaced", "with_edits, CPU ms", "rebuild, CPU ms", "times less",
            "beam-step before, µs", "after, µs")  # fmt: skip
    return rows(head, lines) if lines else ""


def grown(log: Log) -> list[dict[str, Any]]:
    """Measurements of growth, by size."""
    return sorted((one for one in log.of("growth") if "failed" not in one), key=lambda one: one["tokens"])


def building(log: Log) -> PowerLaw | None:
    """CPU seconds to build by tokens."""
    found = grown(log)
    return fitted([one["tokens"] for one in found], [one["cpu"] for one in found])


def growth(log: Log) -> str:
    """By size, then as far as the power law goes."""
    found = grown(log)
    if not found:
        return ""
    depths = sorted(int(name.split()[1]) for name in found[0] if name.startswith("steps "))
    lines = []
    for one in found:
        took = [short(median(one[f"steps {depth}"]["us"])) for depth in depths]
        memory = [f"{one['bytes'] / one['tokens']:.1f}", f"{one['peak'] * 2**20 / one['tokens']:.0f}"]
        lines.append(
            (f"{one['tokens']:,}", f"{one['cpu']:.1f}", *memory, *took, short(median(one["locate"]["us"])))
        )
    law, last = building(log), found[-1]
    if law:
        for size in BEYOND:
            memory = [
                f"({last['bytes'] / last['tokens']:.1f})",
                f"({last['peak'] * 2**20 / last['tokens']:.0f})",
            ]
            lines.append((f"{size:,}", f"({law(size):.0f})", *memory, *["–"] * (len(depths) + 1)))
    head = ("tokens", "build, CPU s", "bytes a token", "peak bytes a token",
            *(f"depth {depth}, µs" for depth in depths), "locate, µs")  # fmt: skip
    table = rows(head, lines)
    if law:
        table += (
            f"\n\nIn brackets: extrapolated. Seconds by {law.factor:.3g} · n^{law.exponent:.3f}, fitted to the sizes "
            f"from 5 million tokens on, where it is off by at most {100 * law.error:.0f} %; bytes as at the largest."
        )
    return table


def stage(log: Log) -> str:
    """Milliseconds of a query and their parts."""
    lines = []
    for catalog in dict.fromkeys(key[1] for key in keys(log, "stage")):
        found = [one for one in log.of("stage") if one["key"].split("/")[1] == catalog]
        total, model, index = (sum(one[part] for one in found) for part in ("total", "model", "index"))
        rest = total - model - index
        each = [f"{1000 * part / len(found):,.1f}" for part in (total, model, index, rest)]
        shares = [f"{100 * part / total:.2f} %" for part in (index, index + rest)]
        lines.append(
            (catalog, f"{found[0]['listings']:,}", f"{found[0]['tokens']:,}", len(found), *each, *shares)
        )
    head = ("catalog", "listings", "tokens", "queries", "a query, CPU ms", "model", "index", "rest", "index, share",
            "all but the model, share")  # fmt: skip
    return rows(head, lines) if lines else ""


def corpora(log: Log) -> list[str]:
    """Names in the order of measuring."""
    return list(dict.fromkeys(key[1] for name in ("build", "failed") for key in keys(log, name)))


def keys(log: Log, section: str) -> list[list[str]]:
    """Parts of a section's keys."""
    return [entry["key"].split("/") for entry in log.of(section)]


def short(value: float) -> str:
    """Three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _step(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return "–"
    own = short(median(cell["us"]))
    return f"{own} ({short(median(cell['best_us']))})" if "best_us" in cell else own


def publish(log: Log, docs: Path) -> None:
    """Refresh the tables of the page between their markers, and the plots."""
    from ngrams.plots import draw

    page = docs / "ngram-index.md"
    text = page.read_text(encoding="utf-8")
    for name, table in tables(log).items():
        text = between(text, name, table)
    page.write_text(text, encoding="utf-8")
    draw(log, docs / "images")

"""The measurements as Markdown tables, and their place in the documentation."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from engine.bench import Bench
from engine.effect import ENGINES, PLAIN, SHIPPED
from engine.growth import AXES
from engine.growth import ENGINES as GROWING
from engine.log import Log
from engine.survival import Duration, as_text, speedup

NAMES = {"ours": "ours, everything exact", "nanogcg": "nanoGCG 0.3.0", "reference": "reference procedure"}


def tables(bench: Bench) -> dict[str, str]:
    """Section → table, for what has been measured."""
    makers = {"steps": steps, "effect": effect, "memory": memory, "growth": growth}
    found = {name: make(bench.log) for name, make in makers.items()}
    return {"machine": machine(bench), **{name: table for name, table in found.items() if table}}


def machine(bench: Bench) -> str:
    """On what, with what and how it was measured."""
    import torch

    options = bench.options
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    model = bench.arena(options.targets[0]).stack.last.stage.model  # type: ignore[attr-defined]
    facts = [
        ("processor", f"{processor()}, {os.cpu_count()} logical cores, {memory:.0f} GiB"),
        ("engines", f"{options.threads} thread each, {str(model.dtype).removeprefix('torch.')}"),
        (
            "versions",
            f"Python {platform.python_version()}, torch {torch.__version__}; nanoGCG 0.3.0 on transformers 4.47.1",
        ),
        ("a step", f"{options.width} candidates, {options.tokens} tokens, top-k {options.top_k}"),
    ]
    return rows(("what", "value"), facts)


def steps(log: Log) -> str:
    """Seconds per step and how many times ours is faster, round by round."""
    taken = {name: _rounds(log, name) for name in NAMES}
    if not taken["ours"]:
        return ""
    lines = []
    for name, label in NAMES.items():
        entries = taken[name]
        if not entries:
            continue
        pairs = list(zip(entries, taken["ours"], strict=False))
        ratios = {unit: [one[unit] / own[unit] for one, own in pairs] for unit in ("cpu", "wall")}
        spent = [f"{median(entry[unit] for entry in entries):.2f}" for unit in ("cpu", "wall")]
        scored = f"{median(entry['scored'] for entry in entries):.0f}"
        lines.append(
            (label, *spent, scored, *("–" if name == "ours" else _spread(ratios[u]) for u in ratios))
        )
    head = ("engine", "CPU s", "s", "candidates scored", "times ours, CPU s", "times ours, s")
    table = rows(head, lines)
    ideal, taken_cpu = (median(entry[unit] for entry in taken["ours"]) for unit in ("ideal", "cpu"))
    tokens = median(entry["computed"] for entry in taken["ours"])
    return table + (
        f"\n\nOurs computes {tokens:.0f} tokens a step; at the measured rate of the model's largest matrix "
        f"products that alone takes {ideal:.2f} s, which is {100 * ideal / taken_cpu:.0f} % of the step's CPU time."
    )


def durations(log: Log, engine: str, target: str, unit: str = "cpu") -> list[Duration]:
    """Times to the effect of an engine's runs on a target."""
    entries = [entry for key, entry in log.entries.items() if key.startswith(f"effect/{engine}/{target}/")]
    return [Duration(entry[unit], entry["reached"]) for entry in entries]


def effect(log: Log) -> str:
    """Median times to the effect."""
    targets = sorted({key.split("/")[2] for key in log.entries if key.startswith("effect/")})
    lines = []
    for target in targets:
        clean = log.entries.get(f"clean/{target}", {}).get("ranks")
        start = f"{median(clean):g}" if clean else "–"
        for engine in ENGINES:
            found = durations(log, engine, target)
            if found:
                reached = f"{sum(duration.reached for duration in found)} of {len(found)}"
                wall = as_text(durations(log, engine, target, "wall"))
                ratios = [
                    "–" if engine in (own, SHIPPED) else speedup(durations(log, own, target), found)
                    for own in (SHIPPED, PLAIN)
                ]
                shown = [NAMES.get(engine, engine), reached, as_text(found), wall, *ratios]
                lines.append((target, start, *shown))
    head = (
        "target",
        "rank before",
        "engine",
        "reached",
        "median CPU s",
        "median s",
        "times ours",
        "times ours, no phrases",
    )
    return rows(head, lines) if lines else ""


def memory(log: Log) -> str:
    """Peak memory of a step."""
    lines = []
    for entry in log.of("memory"):
        label = entry["key"].split("/")[1]
        if "failed" in entry:
            lines.append((label, "–", "–", "–", entry["failed"]))
            continue
        loaded, peak = entry["loaded"], entry["peak"]
        note = f"{entry['batch']} a batch" if "batch" in entry else ""
        lines.append((label, f"{loaded:.0f}", f"{peak:.0f}", f"{peak - loaded:.0f}", note))
    return (
        rows(("engine", "model loaded, MiB", "peak, MiB", "step alone, MiB", "note"), lines) if lines else ""
    )


def growth(log: Log) -> str:
    """Seconds per step, one row per cell."""
    lines = []
    for axis, value in dict.fromkeys(tuple(entry["key"].split("/")[1:3]) for entry in log.of("growth")):
        found = [log.entries.get(f"growth/{axis}/{value}/{engine}") for engine in GROWING]
        lines.append((axis, value, *map(_cell, found)))
    lines.sort(key=lambda line: list(AXES).index(line[0]))
    return (
        rows(("what grows", "to", *(f"{NAMES.get(name, name)}, CPU s" for name in GROWING)), lines)
        if lines
        else ""
    )


def rows(head: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    written = [f"| {' | '.join(map(str, line))} |" for line in lines]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *written])


def publish(bench: Bench, docs: Path) -> None:
    """Refresh the tables of performance.md between their markers, and the plots."""
    from engine.plots import draw

    page = docs / "performance.md"
    text = page.read_text(encoding="utf-8")
    for name, table in tables(bench).items():
        text = between(text, name, table)
    page.write_text(text, encoding="utf-8")
    draw(bench.log, docs / "images")


def between(text: str, name: str, content: str) -> str:
    """A text with what stands between `<!-- begin name -->` and `<!-- end name -->` replaced."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"there must be one {begin} and one {end} after it")
    front, rest = text.split(begin)
    return f"{front}{begin}\n{content}\n{end}{rest.split(end)[1]}"


def _rounds(log: Log, engine: str) -> list[dict[str, Any]]:
    return [entry for key, entry in log.entries.items() if key.startswith(f"steps/{engine}/")]


def _spread(ratios: Sequence[float]) -> str:
    return f"{median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f})"


def _cell(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return "–"
    return f"{entry['cpu']:.2f}" if "cpu" in entry else str(entry["failed"])


def processor() -> str:
    """Name of the machine's processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

"""What was wanted of the index, held against what was measured."""

from __future__ import annotations

from statistics import median

from engine.log import Log
from engine.tables import rows

BEAMS = 256
LARGE, TIMED = 1_000_000, 2_000_000
"""Tokens from which on bytes a token count (in smaller corpora tables by type weigh more), and up to which times do."""


def targets(log: Log) -> str:
    """Target, figure, whether it is reached; for what has been measured."""
    built = {
        one["key"].split("/")[1]: one
        for one in log.of("build")
        if one["key"].endswith("/with bigrams") and one["tokens"] >= LARGE
    }
    lines = []
    for corpus in [name for name, one in built.items() if one["tokens"] <= TIMED]:
        for depth in (1, 2, 3, 6):
            most = 20.0 if depth == 1 else 1.0
            if found := log.entries.get(f"steps/{corpus}/with bigrams/{depth}/{BEAMS}"):
                value = median(found["us"])
                name = f"beam-step at depth {depth}, {BEAMS} beams, {corpus}: at most {most:g} µs"
                lines.append((name, f"{value:.3g} µs", _said(value <= most)))
        if found := log.entries.get(f"locate/{corpus}/with bigrams"):
            value = median(found["us"])
            lines.append((f"locate, {corpus}: below 1 µs a row", f"{value:.3g} µs", _said(value < 1)))
    if sizes := [one["bytes"] / one["tokens"] for one in built.values()]:
        text = "at most 12 bytes a token with everything"
        lines.append((text, f"{max(sizes):.1f} at most", _said(max(sizes) <= 12)))
    for catalog in dict.fromkeys(one["key"].split("/")[1] for one in log.of("stage")):
        parts = [one for one in log.of("stage") if one["key"].split("/")[1] == catalog]
        total = sum(one["total"] for one in parts)
        shares = [sum(one["index"] for one in parts), sum(one["total"] - one["model"] for one in parts)]
        for name, spent in zip(("index", "everything but the model"), shares, strict=True):
            text = f"{name} below 5 % of a query's time, {catalog}"
            lines.append((text, f"{100 * spent / total:.2f} %", _said(spent < 0.05 * total)))
    return rows(("target", "measured", ""), lines) if lines else ""


def _said(reached: bool) -> str:
    return "reached" if reached else "**missed**"

"""What was wanted of the index, held against what was measured."""

from __future__ import annotations

from statistics import median

from engine.log import Log
from engine.tables import rows

CORPUS, BEAMS = "2M", 256
LARGE = 1_000_000
"""Tokens of a corpus from which on its bytes a token count: in smaller ones tables by type weigh more."""


def targets(log: Log) -> str:
    """Target, figure, whether it is reached; for what has been measured."""
    lines = []
    for depth in (1, 2, 3, 6):
        most = 20.0 if depth == 1 else 1.0
        if found := log.entries.get(f"steps/{CORPUS}/with bigrams/{depth}/{BEAMS}"):
            value = median(found["us"])
            name = f"beam-step at depth {depth}, {BEAMS} beams, {CORPUS} tokens: at most {most:g} µs"
            lines.append((name, f"{value:.3g} µs", _said(value <= most)))
    if found := log.entries.get(f"locate/{CORPUS}/with bigrams"):
        value = median(found["us"])
        lines.append((f"locate, {CORPUS} tokens: below 1 µs a row", f"{value:.3g} µs", _said(value < 1)))
    built = [
        one for one in log.of("build") if one["key"].endswith("/with bigrams") and one["tokens"] >= LARGE
    ]
    sizes = [one["bytes"] / one["tokens"] for one in built]
    if sizes:
        lines.append(
            ("at most 12 bytes a token with everything", f"{max(sizes):.1f} at most", _said(max(sizes) <= 12))
        )
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

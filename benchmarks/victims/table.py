"""The figures as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from testbed.statistics import Interval
from victims.scores import MEASURES

Scored = Mapping[tuple[str, str], Mapping[str, Interval]]


def markdown(found: Scored, sets: Sequence[str]) -> str:
    """A table a set: victim × measure, estimate [95 % interval]; victims without a figure are left out."""
    parts = []
    for name in sets:
        rows = [(victim, figures) for (where, victim), figures in found.items() if where == name]
        shown = [measure for measure in MEASURES if any(one[measure].n for _, one in rows)]
        asked = max((figures["nDCG@10"].n for _, figures in rows), default=0)
        lines = [
            f"### {name} ({asked} rankings a victim)",
            "",
            f"| victim | {' | '.join(shown)} |",
            f"|---|{'---|' * len(shown)}",
        ]
        lines += [
            f"| {victim} | {' | '.join(cell(figures[measure]) for measure in shown)} |"
            for victim, figures in rows
            if figures["nDCG@10"].n
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def cell(found: Interval) -> str:
    """`.621 [.58, .66]`; a dash without a value."""
    if found.estimate is None:
        return "–"
    if found.low is None or found.high is None:
        return f"{found.estimate:.3f}"
    return f"{found.estimate:.3f} [{found.low:.2f}, {found.high:.2f}]"

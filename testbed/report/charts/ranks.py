"""Where the target stood: shares of rank levels per arm as stacked bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from testbed.report.charts.colours import STAND_IN
from testbed.report.charts.drawing import settings, surface, to_svg

ROW, LEFT, TOP, BOTTOM = 30, 92, 26, 20
SHADES = {"1": 1.0, "2": 0.68, "3": 0.48, "4–5": 0.32, "6–10": 0.2, "11+": 0.1, "unlisted": 0.0}
"""Opacity of the accent colour per level; unlisted is an empty box, never a rank."""


def grouped(counts: Sequence[float], levels: Sequence[str]) -> dict[str, float]:
    """Counts per rank level of tables.json put into the seven levels that are drawn."""
    found = dict.fromkeys(SHADES, 0.0)
    for level, amount in zip(levels, counts, strict=False):
        if level == "unlisted":
            found["unlisted"] += amount
            continue
        first = int(level.rstrip("+").partition("-")[0])
        found[str(first) if first <= 3 else "4–5" if first <= 5 else "6–10" if first <= 10 else "11+"] += (
            amount
        )
    return found


def stacked(title: str, bars: Mapping[str, Mapping[str, float]], *, salt: str) -> Markup:
    """One panel: label → level → share."""
    height = TOP + ROW * len(bars) + BOTTOM
    with settings(salt):
        figure, axes = surface(height, left=LEFT, right=16, top=TOP, bottom=BOTTOM)
        figure.text(0, 1 - 10 / height, title, weight="bold", va="center")
        axes.set_ylim(len(bars), 0)
        axes.set_xlim(0, 100)
        axes.set_yticks([])
        axes.set_xticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"])
        axes.spines["left"].set_visible(False)
        axes.spines["bottom"].set_visible(False)
        for place, (label, shares) in enumerate(bars.items()):
            y = place + 0.5
            figure.text(0, 1 - (TOP + ROW * y) / height, label, va="center")
            left = 0.0
            for level, share in shares.items():
                width = 100 * share
                if width <= 0:
                    continue
                empty = level == "unlisted"
                colour = STAND_IN["accent"]
                axes.barh(y, width, left=left, height=0.68, color=colour, alpha=SHADES[level], linewidth=0)
                edge = STAND_IN["soft" if empty else "paper"]
                axes.barh(
                    *(y, width),
                    left=left,
                    height=0.68,
                    facecolor="none",
                    edgecolor=edge,
                    linewidth=0.9,
                    linestyle="--" if empty else "-",
                )
                if width >= 9:
                    ink = STAND_IN["paper" if SHADES[level] > 0.9 else "ink"]
                    axes.text(
                        left + width / 2, y, f"{width:.0f}", color=ink, size=9.5, ha="center", va="center"
                    )
                left += width
        return to_svg(figure, f"Shares of ranks of {title} per arm", salt)

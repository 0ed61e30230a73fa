"""A grid of signed numbers with their intervals, shaded by size, gains and losses in different colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from testbed.report.charts.colours import STAND_IN
from testbed.report.charts.drawing import WIDTH, settings, surface, to_svg

LEFT, TOP, SIDE, LONG = 112, 24, 34, 96
SMALLEST = 56


@dataclass(frozen=True)
class Cell:
    """A number from −1 to 1 that sets the shade, and the two lines that stand in the cell."""

    value: float | None
    text: str
    bounds: str


def matrix(
    grid: Sequence[Sequence[Cell]], rows: Sequence[str], columns: Sequence[str], *, label: str, salt: str
) -> Markup:
    """One panel, as wide as a phone, wider with more than four columns."""
    from matplotlib.patches import Rectangle

    wide = min(LONG, max(SMALLEST, (WIDTH - LEFT) / max(1, len(columns))))
    width = LEFT + wide * len(columns)
    height = TOP + SIDE * len(rows) + 4
    with settings(salt):
        figure, axes = surface(height, left=LEFT, top=TOP, bottom=4, width=max(width, WIDTH))
        share = max(width, WIDTH) - LEFT
        axes.set_xlim(0, share / wide)
        axes.set_ylim(len(rows), 0)
        axes.set_axis_off()
        for y, line in enumerate(grid):
            axes.text(-0.06, y + 0.5, rows[y], ha="right", va="center", size=9.5)
            for x, cell in enumerate(line):
                if cell.value is not None:
                    role = "accent" if cell.value >= 0 else "blue"
                    shade = 0.03 + 0.45 * min(1.0, abs(cell.value))
                    box = Rectangle((x, y), 1, 1, facecolor=STAND_IN[role], alpha=shade, linewidth=0)
                    axes.add_patch(box)
                frame = Rectangle((x, y), 1, 1, facecolor="none", edgecolor=STAND_IN["line"], linewidth=0.6)
                axes.add_patch(frame)
                axes.text(
                    x + 0.5, y + 0.36, cell.text or "–", ha="center", va="center", size=10, weight="bold"
                )
                axes.text(x + 0.5, y + 0.74, cell.bounds, ha="center", va="center", size=7.5)
        for x, column in enumerate(columns):
            axes.text(x + 0.5, -0.12, column, ha="center", va="bottom", size=9.5)
        return to_svg(figure, label, salt)

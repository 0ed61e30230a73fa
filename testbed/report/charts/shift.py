"""Ranks before against ranks after, as counts in a grid."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from testbed.report.charts.colours import STAND_IN
from testbed.report.charts.drawing import WIDTH, settings, surface, to_svg

LEFT, TOP, BOTTOM, RIGHT = 62, 26, 58, 6
TURNED = 22
"""More room below where names of columns stand upright: of ranges of ranks, which are wider than a column."""


def shift(
    title: str, counts: Sequence[Sequence[int]], levels: Sequence[str], *, arm: str, salt: str
) -> Markup:
    """One panel; rows: rank when clean, columns: rank under the arm; left of the diagonal is a gain."""
    from matplotlib.patches import Rectangle

    size = len(levels)
    cell = (WIDTH - LEFT - RIGHT) / size
    side = min(cell, 30.0)
    names = [*(level.replace("-", "–") for level in levels[:-1]), "none"] if size else []
    turned = any("–" in level for level in names)
    bottom = BOTTOM + TURNED * turned
    height = TOP + side * size + bottom
    most = max((max(row) for row in counts), default=0) or 1
    with settings(salt):
        figure, axes = surface(height, left=LEFT, right=RIGHT, top=TOP, bottom=bottom)
        figure.text(0, 1 - 10 / height, title, weight="bold", va="center")
        axes.set_xlim(0, size)
        axes.set_ylim(size, 0)
        for y, row in enumerate(counts):
            for x, amount in enumerate(row):
                if not amount:
                    continue
                shade = 0.08 + 0.5 * amount / most
                axes.add_patch(
                    Rectangle((x, y), 1, 1, facecolor=STAND_IN["accent"], alpha=shade, linewidth=0)
                )
                axes.text(x + 0.5, y + 0.5, str(amount), ha="center", va="center", size=9)
        for place in range(size):
            box = Rectangle(
                (place, place), 1, 1, facecolor="none", edgecolor=STAND_IN["soft"], linewidth=1, linestyle=":"
            )
            axes.add_patch(box)
        places = [place + 0.5 for place in range(size)]
        axes.set_yticks(places, [*names[:-1], *levels[-1:]])
        axes.set_xticks(places, names)
        for label in axes.get_xticklabels():
            if turned and len(label.get_text()) > 2:
                label.set_rotation(90)
        axes.set_xlabel(f"rank under {arm}", labelpad=6)
        axes.set_ylabel("rank when clean", labelpad=4, rotation_mode="anchor")
        for spine in axes.spines.values():
            spine.set_visible(True)
        return to_svg(figure, f"Rank when clean against rank under {arm}, {title}", salt)

"""Quality of the whole ranking against how often the target comes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from testbed.report.charts.colours import STAND_IN
from testbed.report.charts.drawing import settings, surface, to_svg

Span = tuple[float | None, float | None]


@dataclass(frozen=True)
class Point:
    """An arm by quality (x) and share of first places in per cent (y)."""

    label: str
    role: str
    marker: str
    x: float
    y: float
    x_span: Span = (None, None)
    y_span: Span = (None, None)


def scatter(points: Sequence[Point], *, x_label: str, y_label: str, salt: str) -> Markup:
    """The chart; crosses are 95 % intervals."""
    from matplotlib.ticker import MaxNLocator

    with settings(salt):
        figure, axes = surface(270, left=46, right=10, top=10, bottom=42)
        for one in points:
            colour = STAND_IN[one.role]
            if None not in one.x_span:
                axes.plot(one.x_span, (one.y, one.y), color=colour, linewidth=1.2, alpha=0.7)
            if None not in one.y_span:
                axes.plot((one.x, one.x), one.y_span, color=colour, linewidth=1.2, alpha=0.7)
            # Hollow but for the attack, so that arms which coincide all stay visible.
            inside = {} if one.role == "accent" else {"markerfacecolor": "none", "markeredgewidth": 1.8}
            axes.plot(
                [one.x],
                [one.y],
                one.marker,
                color=colour,
                markersize=6 if not inside else 9,
                zorder=3,
                **inside,
            )
        axes.margins(0.08)
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, -3), min(max(high, 12), 104))
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label, rotation_mode="anchor")
        axes.grid(True)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        return to_svg(figure, f"{x_label} against {y_label} per arm", salt)

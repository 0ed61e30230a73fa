"""Estimates with their intervals, one a row, against a zero line; the numbers stand beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from testbed.report.charts.colours import STAND_IN
from testbed.report.charts.drawing import WIDTH, settings, surface, to_svg
from testbed.report.numbers import Unit, number

ROW, HEAD, GAP = 19, 22, 6
LEFT, RIGHT, BOTTOM = 104, 104, 22


@dataclass(frozen=True)
class Dot:
    """One row: a label, what it is drawn as, and an estimate with its interval, or `beside` in its place."""

    label: str
    role: str
    marker: str
    estimate: float | None
    low: float | None = None
    high: float | None = None
    beside: str = ""


@dataclass(frozen=True)
class Group:
    """Rows under a heading."""

    title: str
    dots: Sequence[Dot]


def dots(groups: Sequence[Group], *, unit: Unit, label: str, salt: str, bars: bool = False) -> Markup:
    """The chart; `bars` draws a bar from zero to the estimate instead of a dot."""
    groups = [group for group in groups if group.dots]
    height = BOTTOM + 4 + sum(bool(one.title) * HEAD + len(one.dots) * ROW + GAP for one in groups)
    scale = 100.0 if unit in ("points", "share") else 1.0
    with settings(salt):
        figure, axes = surface(height, left=LEFT, right=RIGHT, top=0, bottom=BOTTOM)
        axes.set_ylim(height - BOTTOM, 0)
        axes.set_xlim(*_limits(groups, unit, scale))
        _frame(axes)
        y = 0.0
        for group in groups:
            if group.title:
                place = 1 - (y + HEAD / 2 + 2) / height
                behind = {"facecolor": STAND_IN["paper"], "edgecolor": "none", "pad": 1.5}
                figure.text(0, place, group.title, weight="bold", va="center", size=10.5, bbox=behind)
                y += HEAD
            for dot in group.dots:
                y += ROW
                _draw(figure, axes, dot, y - ROW / 2, unit, scale, height, bars)
            y += GAP
        return to_svg(figure, label, salt)


def _limits(groups: Sequence[Group], unit: Unit, scale: float) -> tuple[float, float]:
    values = [
        scale * value
        for group in groups
        for dot in group.dots
        for value in (dot.estimate, dot.low, dot.high)
        if value is not None
    ]
    if unit == "share":
        return (-2, 102)
    low, high = min(0.0, *values, 0.0), max(0.0, *values, 0.0)
    pad = 0.06 * (high - low) or 1.0
    return low - pad, high + pad


def _frame(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.axvline(0, color=STAND_IN["soft"], linewidth=1.2, zorder=1.5)


def _draw(
    figure: Any, axes: Any, dot: Dot, y: float, unit: Unit, scale: float, height: float, bars: bool
) -> None:
    colour = STAND_IN[dot.role]
    place = 1 - y / height
    figure.text(8 / WIDTH, place, dot.label, va="center")
    if dot.estimate is None:
        figure.text(1, place, "not defined", va="center", ha="right", color=STAND_IN["soft"])
        return
    text = number(dot.estimate, unit, digits=2)
    if dot.low is not None and dot.high is not None:
        span = (scale * dot.low, scale * dot.high)
        line = STAND_IN["ink"] if bars else colour
        axes.plot(span, (y, y), color=line, linewidth=1.2 if bars else 2.2, zorder=3)
        text += f"  [{number(dot.low, unit, digits=2)}, {number(dot.high, unit, digits=2)}]"
    elif dot.beside:
        text += f" {dot.beside}"
    if bars:
        axes.barh(y, scale * dot.estimate, height=ROW * 0.58, color=colour, alpha=0.55, zorder=2)
    else:
        style = {"color": colour, "markersize": 6.5, "zorder": 4, "clip_on": False}
        axes.plot([scale * dot.estimate], [y], dot.marker, **style)
    figure.text(1, place, text, va="center", ha="right", size=9.5)

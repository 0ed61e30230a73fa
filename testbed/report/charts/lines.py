"""Lines over steps or slots, told apart by colour, dash and a label in the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from testbed.report.charts.colours import STAND_IN
from testbed.report.charts.drawing import settings, surface, to_svg

DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Line:
    """Values y over x; None leaves a gap. `low` and `high` draw intervals, `mark` a dot at one x."""

    label: str
    role: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    dash: str = "-"
    marker: str = ""
    step: bool = False
    mark: float | None = None


def lines(
    title: str, drawn: Sequence[Line], *, x_label: str, y_label: str, salt: str, share: bool = False
) -> Markup:
    """One panel; `share` fixes the y axis to 0–100 %."""
    from matplotlib.ticker import MaxNLocator

    height = 200
    with settings(salt):
        figure, axes = surface(height, left=46, right=10, top=28, bottom=40)
        figure.text(0, 1 - 10 / height, title, weight="bold", va="center")
        offset = -0.06 * (len(drawn) - 1) / 2
        for place, one in enumerate(drawn):
            colour = STAND_IN[one.role]
            if one.low and one.high:
                x = [value + offset + 0.06 * place for value in one.x]
                axes.vlines(x, one.low, one.high, color=colour, linewidth=1.2, alpha=0.6)
            else:
                x = list(one.x)
            y = [float("nan") if value is None else value for value in one.y]
            style = {"drawstyle": "steps-post"} if one.step else {}
            axes.plot(x, y, one.marker + one.dash, color=colour, markersize=5, **style)
            if one.mark is not None:
                spots = [(at, value) for at, value in zip(one.x, y, strict=True) if at == one.mark]
                axes.plot(
                    [at for at, _ in spots], [value for _, value in spots], "o", color=colour, markersize=5.5
                )
        if share:
            axes.set_ylim(-3, 103)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label, rotation_mode="anchor")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        return to_svg(figure, f"{y_label} by {x_label}, {title}", salt)

"""Rank, margin and goal reach by step, as an SVG plot that is the same, byte for byte, for the same log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from engine.plots import BLUE, GREY, RED, SKY, STYLE
from matplotlib import pyplot as plt

from drift.steps import NAMES, Course

SHOWN = ("rank", "margin", "reach")
COLOURS = (BLUE, RED, SKY, GREY)


def draw(found: Sequence[Course], folder: Path, kind: str = "svg") -> Path:
    """A row a measure, a column a target; the band is as far as random text moves the clean listing."""
    folder.mkdir(parents=True, exist_ok=True)
    plt.switch_backend("agg")
    targets = list(dict.fromkeys(one.attack.target.item_id for one in found))
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "goal-drift"}):
        figure, panels = plt.subplots(
            len(SHOWN), len(targets), figsize=(2.8 * len(targets) + 0.6, 5.2), sharex=True, squeeze=False
        )
        for column, target in enumerate(targets):
            mine = [one for one in found if one.attack.target.item_id == target]
            panels[0][column].set_title(target, fontsize=9)
            for row, measure in enumerate(SHOWN):
                axes, band = panels[row][column], mine[0].bands[measure]
                sign = -1 if measure == "rank" else 1
                low, high = sign * (band.clean - band.reach), sign * (band.clean + band.reach)
                axes.axhspan(low, high, color=GREY, alpha=0.2, linewidth=0)
                axes.axhline(sign * band.clean, color=GREY, linewidth=0.8)
                for one, colour in zip(mine, COLOURS * len(mine), strict=False):
                    values = sign * one.means(measure)
                    axes.plot(
                        range(len(values)),
                        values,
                        color=colour,
                        marker="o",
                        markersize=3,
                        label=f"seed {one.attack.seed}",
                    )
                if measure == "rank":
                    axes.invert_yaxis()
                axes.xaxis.get_major_locator().set_params(integer=True)
            panels[-1][column].set_xlabel("step of the attack")
        for row, measure in enumerate(SHOWN):
            panels[row][0].set_ylabel(NAMES[measure])
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        path = folder / f"goal-drift.{kind}"
        figure.savefig(path, metadata={"Date": None} if kind == "svg" else None)
        plt.close(figure)
    return path

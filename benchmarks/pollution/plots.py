"""Perturbations by reasoning step, as an SVG plot that is the same, byte for byte, for the same log."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from engine.log import Log
from engine.plots import BLUE, GREY, RED, STYLE
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

from pollution.bench import POLLUTIONS, steps_of
from pollution.models import NAMES
from pollution.steps import amplification, relative
from pollution.tables import CHOICES, _entries, by_step, gained

COLOURS = {"erl": RED, "prl": BLUE, "base": GREY}
DASHES = {"id": "-", "text": "--"}


def draw(log: Log, folder: Path, kind: str = "svg") -> Path | None:
    """A column an attack: how far the state moves, the same beside users' distances, what the target gains.

    A text in a listing outside the history moves no state, so that it has the last row alone.
    """
    reasoning = [name for name in NAMES if not name.endswith("base")]
    columns = [("pollution", choose, count, f"{count} × {CHOICES[choose]}") for choose, count in POLLUTIONS]
    columns.append(("text", "stuffing", 3, "text in the target's listing"))
    shown = [
        (section, choose, count, title)
        for section, choose, count, title in columns
        if count == 3 and any(_entries(log, section, name, choose, count) for name in reasoning)
    ]
    if not shown:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    plt.switch_backend("agg")
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "pollution"}):
        figure, panels = plt.subplots(
            3, len(shown), figsize=(2.3 * len(shown) + 0.8, 6.2), sharex=True, sharey="row", squeeze=False
        )
        for column, (section, choose, count, title) in enumerate(shown):
            for name in reasoning:
                entries = _entries(log, section, name, choose, count)
                if not entries:
                    continue
                every = [steps_of(entry) for entry in entries]
                moved = section == "pollution"
                told = (by_step(every, amplification), by_step(every, relative)) if moved else (None, None)
                items, loss = name.split("-")
                style = {"color": COLOURS[loss], "linestyle": DASHES[items], "marker": "o", "markersize": 3.5}
                for row, found in enumerate((*told, gained(every))):
                    if found is None:
                        panels[row][column].set_visible(False)
                        continue
                    turn = np.exp if row < 2 else np.asarray
                    middle = [float(turn(one.estimate)) for one in found]
                    low = [float(turn(one.estimate if one.low is None else one.low)) for one in found]
                    high = [float(turn(one.estimate if one.high is None else one.high)) for one in found]
                    axes = panels[row][column]
                    axes.fill_between(
                        range(len(found)), low, high, color=COLOURS[loss], alpha=0.12, linewidth=0
                    )
                    axes.plot(range(len(found)), middle, label=NAMES[name], **style)
            panels[0 if section == "pollution" else 2][column].set_title(title, fontsize=9)
            for row, level in enumerate((1, 1, 0)):
                panels[row][column].axhline(level, color=GREY, linewidth=0.8)
            panels[2][column].set_xlabel("reasoning step")
            panels[2][column].xaxis.get_major_locator().set_params(integer=True)
        for row, label in enumerate(
            ("‖Δr‖, step 0 = 1", "beside distances\nbetween users", "target's log p,\nchange (nats)")
        ):
            panels[row][0].set_ylabel(label)
            if row < 2:
                panels[row][0].set_yscale("log")
                for part in (
                    panels[row][0].yaxis.set_major_formatter,
                    panels[row][0].yaxis.set_minor_formatter,
                ):
                    part(FuncFormatter(lambda value, _: f"{value:.2g}"))
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
        path = folder / f"rearec-pollution.{kind}"
        figure.savefig(path, metadata={"Date": None} if kind == "svg" else None)
        plt.close(figure)
    return path

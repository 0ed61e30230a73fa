"""Perturbations by reasoning step, as an SVG plot that is the same, byte for byte, for the same log."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from engine.log import Log
from engine.plots import BLUE, GREY, RED, STYLE
from matplotlib import pyplot as plt

from pollution.bench import POLLUTIONS, steps_of
from pollution.models import NAMES
from pollution.steps import amplification
from pollution.tables import CHOICES, _entries, by_step, gained

COLOURS = {"erl": RED, "prl": BLUE, "base": GREY}
DASHES = {"id": "-", "text": "--"}


def draw(log: Log, folder: Path, kind: str = "svg") -> Path | None:
    """One column an attack: above, how far the state moves beside step 0; below, what the target gains."""
    reasoning = [name for name in NAMES if not name.endswith("base")]
    shown = [
        (choose, count)
        for choose, count in POLLUTIONS
        if count == 3 and any(_entries(log, "pollution", name, choose, count) for name in reasoning)
    ]
    if not shown:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    plt.switch_backend("agg")
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "pollution"}):
        figure, panels = plt.subplots(
            2, len(shown), figsize=(2.3 * len(shown) + 0.8, 4.6), sharex=True, sharey="row", squeeze=False
        )
        for column, (choose, count) in enumerate(shown):
            for name in reasoning:
                entries = _entries(log, "pollution", name, choose, count)
                if not entries:
                    continue
                every = [steps_of(entry) for entry in entries]
                items, loss = name.split("-")
                style = {"color": COLOURS[loss], "linestyle": DASHES[items], "marker": "o", "markersize": 3.5}
                for row, found in enumerate((by_step(every, amplification), gained(every))):
                    turn = np.exp if row == 0 else np.asarray
                    middle = [float(turn(one.estimate)) for one in found]
                    low = [float(turn(one.estimate if one.low is None else one.low)) for one in found]
                    high = [float(turn(one.estimate if one.high is None else one.high)) for one in found]
                    axes = panels[row][column]
                    axes.fill_between(
                        range(len(found)), low, high, color=COLOURS[loss], alpha=0.12, linewidth=0
                    )
                    axes.plot(range(len(found)), middle, label=NAMES[name], **style)
            panels[0][column].set_title(f"{count} × {CHOICES[choose]}", fontsize=9)
            panels[0][column].axhline(1, color=GREY, linewidth=0.8)
            panels[1][column].axhline(0, color=GREY, linewidth=0.8)
            panels[1][column].set_xlabel("reasoning step")
            panels[1][column].xaxis.get_major_locator().set_params(integer=True)
        panels[0][0].set_yscale("log")
        panels[0][0].set_ylabel("‖Δr‖, as a factor of step 0")
        panels[1][0].set_ylabel("target's log p, change (nats)")
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
        path = folder / f"rearec-pollution.{kind}"
        figure.savefig(path, metadata={"Date": None} if kind == "svg" else None)
        plt.close(figure)
    return path

"""What each defence leaves of attacks, as a picture: an SVG that is the same, byte for byte, for the same log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib
from engine.log import Log
from engine.plots import BLUE, GREY, RED, STYLE
from matplotlib import pyplot as plt

from defending.held import held, interval
from defending.rows import Adaptive

ARMS = {
    "random": ("random text, by scores", GREY, "x", 0.25),
    "without": ("made without the defence", BLUE, "o", 0.0),
    "through": ("made through it", RED, "D", -0.25),
}


def draw(log: Log, defences: Mapping[str, Adaptive], file: Path) -> bool:
    """Exposure gained behind each defence with its interval, arm by arm; False where nothing is measured."""
    found = {
        name: one for name, row in defences.items() if (one := held(log, name, row, row.attacks)) is not None
    }
    if not found:
        return False
    plt.switch_backend("agg")
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "adaptive"}):
        figure, axes = plt.subplots(figsize=(7.2, 0.42 * len(found) + 1.2))
        for place, (name, one) in enumerate(found.items()):
            for arm, (label, colour, marker, up) in ARMS.items():
                if arm == "without" and name == defences[name].base:
                    continue
                gain = interval(one.gain(arm))
                y = len(found) - 1 - place + up
                if gain.low is not None and gain.high is not None:
                    axes.plot([gain.low, gain.high], [y, y], color=colour, linewidth=1)
                shown = label if place == 1 or len(found) == 1 else None
                axes.plot([gain.estimate], [y], marker, color=colour, markersize=5, label=shown)
            axes.plot(
                [one.undefended.mean()] * 2,
                [len(found) - 1.4 - place, len(found) - 0.6 - place],
                color="black",
                linewidth=1.2,
                label="undefended" if place == 0 else None,
            )
        axes.axvline(0, color="black", linewidth=0.6, linestyle=":")
        axes.set_yticks(range(len(found)), list(found)[::-1])
        axes.set_ylim(-0.6, len(found) - 0.4)
        axes.set_xlabel("exposure beyond the clean listing's, 95 %")
        figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
        plt.close(figure)
    return True

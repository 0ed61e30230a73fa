"""The measurements as SVG plots that are the same, byte for byte, for the same log."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
from engine.log import Log
from engine.plots import BLUE, GREY, RED, SKY, STYLE
from matplotlib import pyplot as plt

from ngrams.sections import ASKED, LAYOUTS, PEER
from ngrams.tables import BEYOND, NAMES, building, corpora, grown, keys
from ngrams.targets import BEAMS

COLOURS = {**dict(zip(LAYOUTS, (BLUE, SKY), strict=True)), PEER: RED}


def draw(log: Log, folder: Path, kind: str = "svg") -> list[Path]:
    """Every plot there is something for."""
    folder.mkdir(parents=True, exist_ok=True)
    plt.switch_backend("agg")
    made = []
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "ngram-index"}):
        for name, make in (("steps", steps), ("growth", growth)):
            if any(log.of(name)):
                figure = make(log)
                path = folder / f"ngram-index-{name}.{kind}"
                figure.savefig(path, metadata={"Date": None} if kind == "svg" else None)
                plt.close(figure)
                made.append(path)
    return made


def steps(log: Log) -> Any:
    """Microseconds a beam-step by depth, 256 beams (of the peer: one by one), one panel for each corpus."""
    names = [corpus for corpus in corpora(log) if any(key[1] == corpus for key in keys(log, "steps"))]
    figure, panels = plt.subplots(
        1, len(names), figsize=(2.7 * len(names) + 0.6, 3), sharey=True, squeeze=False
    )
    for axes, corpus in zip(panels[0], names, strict=True):
        for index, colour in COLOURS.items():
            points = [
                (int(depth), median(log.entries["/".join(key)]["us"]))
                for key in sorted(keys(log, "steps"))
                for _, one, name, depth, beams in [key]
                if (one, name, int(beams)) == (corpus, index, ASKED if index == PEER else BEAMS)
            ]
            if points:
                axes.plot(*zip(*points, strict=True), "o-", color=colour, markersize=4, label=NAMES[index])
        axes.plot([1], [20], "_", color=GREY, markersize=14, label="target")
        axes.plot([2, 6], [1, 1], "--", color=GREY, linewidth=1)
        axes.set_yscale("log")
        axes.minorticks_off()
        axes.set_xticks([1, 2, 3, 6])
        axes.set_title(corpus if corpus[0].isalpha() else f"{corpus} tokens", fontsize=9)
        axes.set_xlabel("tokens of the n-gram")
    panels[0][0].set_ylabel("µs a beam-step")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def growth(log: Log) -> Any:
    """Time to build, peak of memory, and time of a beam-step against the tokens; what is extrapolated is dashed."""
    found, law = grown(log), building(log)
    sizes = [one["tokens"] for one in found]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9.2, 2.8))
    left.plot(sizes, [one["cpu"] for one in found], "o-", color=BLUE, markersize=4)
    memory = [one["peak"] / 1024 for one in found]
    middle.plot(sizes, memory, "o-", color=BLUE, markersize=4, label="while building")
    held = [one["bytes"] / 2**30 for one in found]
    middle.plot(sizes, held, "o-", color=SKY, markersize=4, label="afterwards")
    if law:
        beyond = [sizes[-1], *(size for size in BEYOND if size > sizes[-1])]
        left.plot(beyond, [law(size) for size in beyond], "--", color=BLUE, label="extrapolated")
        left.legend(frameon=False)
        for values, colour in ((memory, BLUE), (held, SKY)):
            middle.plot(beyond, [values[-1] * size / sizes[-1] for size in beyond], "--", color=colour)
    names = sorted(name for name in found[0] if name.startswith("steps "))
    shades = plt.get_cmap("viridis").resampled(len(names) + 1)
    for place, name in enumerate(names):
        times = [median(one[name]["us"]) for one in found]
        right.plot(
            sizes, times, "o-", color=shades(place), markersize=4, label=name.replace("steps", "depth")
        )
    for axes, label in (
        (left, "build, CPU s"),
        (middle, "memory, GiB"),
        (right, "µs a beam-step, 256 beams"),
    ):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.minorticks_off()
        axes.set_xlabel("tokens")
        axes.set_ylabel(label)
    middle.legend(frameon=False)
    figure.legend(*right.get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure

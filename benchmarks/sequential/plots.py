"""The measurements as SVG plots that are the same, byte for byte, for the same log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from engine.log import Log
from engine.plots import BLUE, GREY, RED, SKY, STYLE
from matplotlib import pyplot as plt

from sequential.compare import difference
from sequential.groups import quarters
from sequential.recipes import BASE, NAMES
from sequential.results import CUTS, Results, every

COLOURS = {
    BASE: "black", "erl": RED, "prl": BLUE, "pause": SKY, "last": GREY, "layers": "#cc79a7", "more": "#009e73",
}  # fmt: skip
MEASURE = "NDCG@20"


def draw(log: Log, folder: Path, kind: str = "svg") -> list[Path]:
    """Every plot there is something for."""
    folder.mkdir(parents=True, exist_ok=True)
    plt.switch_backend("agg")
    found, made = every(log), []
    reasoning = [one for one in found if one.reasoning]
    parts = {
        "steps": (steps, reasoning),
        "groups": (groups, [one for one in reasoning if one.seeds(BASE)]),
        "curves": (curves, [one for one in found if one.models]),
    }
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "rearec"}):
        for name, (make, some) in parts.items():
            if some:
                figure = make(some)
                path = folder / f"rearec-{name}.{kind}"
                figure.savefig(path, metadata={"Date": None} if kind == "svg" else None)
                plt.close(figure)
                made.append(path)
    return made


def steps(found: Sequence[Results]) -> Any:
    """Quality after every step, each user's best step, and what choosing among noisy copies gives."""
    figure, panels = _panels(found, 3.2)
    for axes, one in zip(panels, found, strict=True):
        for name in one.reasoning:
            values = CUTS[MEASURE](one.ranks(name, "steps")).mean((0, 2))
            axes.plot(range(len(values)), values, "o-", color=COLOURS[name], markersize=4, label=NAMES[name])
            found_best = one.ceiling(name, MEASURE)
            place = len(values) - 0.4 + 0.25 * one.reasoning.index(name)
            low, high = found_best["null of the mean"].mean(), found_best["best"].mean()
            axes.plot([place, place], [low, high], "-", color=COLOURS[name], linewidth=1)
            axes.plot([place], [high], "^", color=COLOURS[name], markersize=5)
            axes.plot([place], [low], "_", color=COLOURS[name], markersize=9)
        if one.seeds(BASE):
            axes.axhline(
                CUTS[MEASURE](one.ranks(BASE)).mean(),
                color="black",
                linewidth=1,
                linestyle="--",
                label="base",
            )
        axes.set_xticks(range(len(values)))
        axes.set_xlabel("step               best (▲), null (–)")
        axes.set_title(one.name, fontsize=9)
    panels[0].set_ylabel(MEASURE)
    _legend(figure, panels)
    return figure


def groups(found: Sequence[Results]) -> Any:
    """Differences to the base in quarters of users, by length of the history and by popularity of the item."""
    figure, panels = plt.subplots(
        len(found), 2, figsize=(8.4, 2.6 * len(found) + 0.4), squeeze=False, sharey="row"
    )
    for row, one in zip(panels, found, strict=True):
        for axes, what in zip(row, ("lengths", "popularity"), strict=True):
            cuts = quarters(one.users[what])
            names = [name for name in one.models if name != BASE and one.pair(name, "NDCG@10")]
            for place, name in enumerate(names):
                pair = one.pair(name, "NDCG@10")
                assert pair
                got = [difference(pair[0][:, who], pair[1][:, who]).interval for _, who in cuts]
                at = np.arange(len(cuts)) + 0.6 * ((place + 0.5) / len(names) - 0.5)
                middle = np.array([one.estimate for one in got])
                low = np.array([one.estimate if one.low is None else one.low for one in got])
                high = np.array([one.estimate if one.high is None else one.high for one in got])
                axes.errorbar(
                    at, middle, [middle - low, high - middle], fmt="o", color=COLOURS[name], markersize=3.5,
                    linewidth=1, label=NAMES[name],
                )  # fmt: skip
            axes.axhline(0, color="black", linewidth=0.8)
            axes.set_xticks(range(len(cuts)), [label for label, _ in cuts])
            axes.set_xlabel(
                "items in the history" if what == "lengths" else "times the item was chosen in training"
            )
        row[0].set_ylabel(f"NDCG@10 − base,\n{one.name}")
    _legend(figure, panels.flat)
    return figure


def curves(found: Sequence[Results]) -> Any:
    """Validation by epoch: the backbone, then each variant from its best epoch on; a line a seed."""
    figure, panels = _panels(found, 3.2, share=False)
    for axes, one in zip(panels, found, strict=True):
        for name, seeds in one.models.items():
            for seed, entry in seeds.items():
                begin = 0
                if (
                    entry["curve"]
                    and entry["curve"][0][0] == "reasoning"
                    and seed in one.models.get(BASE, {})
                ):
                    base = [line[2] for line in one.models[BASE][seed]["curve"]]
                    begin = int(np.argmax(base)) + 1
                points = [(begin + place + 1, line[2]) for place, line in enumerate(entry["curve"])]
                if points:
                    axes.plot(
                        *zip(*points, strict=True), color=COLOURS[name], linewidth=0.9, label=NAMES[name]
                    )
        axes.set_title(one.name, fontsize=9)
        axes.set_xlabel("epoch")
    panels[0].set_ylabel("NDCG@10, validation")
    _legend(figure, panels)
    return figure


def _panels(found: Sequence[Results], width: float, share: bool = False) -> Any:
    figure, panels = plt.subplots(
        1, len(found), figsize=(max(4.6, width * len(found) + 0.6), 3.4), squeeze=False, sharey=share
    )
    return figure, list(panels[0])


def _legend(figure: Any, panels: Any) -> None:
    """One for all panels, each name once."""
    named = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    columns = min(4, 1 + len(list(panels)), len(named))
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=columns, frameon=False)

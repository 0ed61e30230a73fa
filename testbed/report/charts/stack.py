"""The stages and what feeds what, top to bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx
from markupsafe import Markup

from testbed.report.charts.colours import STAND_IN
from testbed.report.charts.drawing import WIDTH, settings, surface, to_svg
from testbed.report.text import name

LEVEL, BOX = 66, 42
BOLD, PLAIN = 7.4, 6.2
"""About what a character of a name and of a detail is wide."""


def graph(stack: Sequence[Mapping[str, Any]], first: str = "source") -> nx.DiGraph:
    """Stages as nodes in layers; cycles and unknown inputs of a damaged manifest are left out."""
    found = nx.DiGraph()
    found.add_node(first)
    for stage in stack:
        found.add_node(str(stage.get("name", "?")))
    for stage in stack:
        own = str(stage.get("name", "?"))
        for before in stage.get("inputs") or ():
            if str(before) in found and not nx.has_path(found, own, str(before)):
                found.add_edge(str(before), own)
    return found


def draw(stack: Sequence[Mapping[str, Any]], details: Mapping[str, str], *, salt: str) -> Markup:
    """The chart; `details`: stage name → the second line in its box."""
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    stages = graph(stack)
    layers = [list(layer) for layer in nx.topological_generations(stages)]
    height = LEVEL * len(layers) - (LEVEL - BOX) + 8
    width = {node: min(170.0, (WIDTH - 4) / len(layer) - 10) for layer in layers for node in layer}
    spots = {
        node: (WIDTH / 2 + (place - (len(layer) - 1) / 2) * (width[node] + 10), BOX / 2 + 4 + LEVEL * depth)
        for depth, layer in enumerate(layers)
        for place, node in enumerate(layer)
    }
    with settings(salt):
        figure, axes = surface(height)
        axes.set_xlim(0, WIDTH)
        axes.set_ylim(height, 0)
        axes.set_axis_off()
        for before, after in stages.edges:
            (x, y), (to_x, to_y) = spots[before], spots[after]
            arrow = FancyArrowPatch(
                (x, y + BOX / 2),
                (to_x, to_y - BOX / 2),
                arrowstyle="-|>",
                mutation_scale=11,
                shrinkA=1,
                shrinkB=1,
            )
            arrow.set(color=STAND_IN["soft"], linewidth=1.2)
            axes.add_patch(arrow)
        for node, (x, y) in spots.items():
            wide = width[node]
            corner = (x - wide / 2, y - BOX / 2)
            box = FancyBboxPatch(corner, wide, BOX, boxstyle="round,pad=0,rounding_size=6")
            box.set(facecolor=STAND_IN["paper"], edgecolor=STAND_IN["soft"], linewidth=1.2)
            axes.add_patch(box)
            detail = details.get(node, "")
            size = int(wide / BOLD)
            axes.text(x, y - (7 if detail else 0), name(node, size), ha="center", va="center", weight="bold")
            if detail:
                text = name(detail, int(wide / PLAIN))
                axes.text(x, y + 9, text, ha="center", va="center", size=9, color=STAND_IN["soft"])
        words = ", ".join(f"{before} to {after}" for before, after in stages.edges)
        return to_svg(figure, f"Stages: {words}", salt)

"""Paths of utterances or items from where a dialogue is to where it should go."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import islice

import networkx
import numpy as np

from retrievers.goals.scoring.curvature import Curvature
from testbed.errors import UserError, did_you_mean, shown


@dataclass(frozen=True, slots=True)
class Plan:
    """A path with its curved length: the sum of 1 − cos(B_p(u), A(v)) over its steps."""

    path: tuple[Hashable, ...]
    length: float


def graph_of(
    names: Sequence[Hashable], curvature: Curvature, *, distance: int = 1, neighbours: int | None = None
) -> networkx.DiGraph:
    """A directed graph: an edge u → v weighs 1 − cos(B_p(u), A(v)), so that going back costs more than going on.

    `distance`: turns of a step; its parity is p. `neighbours`: edges only to so many nearest of each, all when left
    out. Names must differ.
    """
    if len(names) != len(curvature):
        raise ValueError(f"{len(names)} names for {len(curvature)} utterances")
    if len(set(names)) != len(names):
        raise UserError("a graph needs names that differ")
    graph = networkx.DiGraph()
    graph.add_nodes_from(names)
    if len(names) < 2:
        return graph
    cosines = curvature.before(distance).astype(np.float64) @ curvature.after.T
    np.fill_diagonal(cosines, -np.inf)
    most = len(names) - 1 if neighbours is None else min(neighbours, len(names) - 1)
    for row, name in enumerate(names):
        nearest = np.argsort(-cosines[row], kind="stable")[:most]
        graph.add_weighted_edges_from(
            (name, names[column], max(0.0, 1.0 - float(cosines[row, column]))) for column in nearest
        )
    return graph


def shortest(graph: networkx.DiGraph, start: Hashable, goal: Hashable) -> Plan | None:
    """The path of the least length; None where no path leads there. UserError for names the graph does not have."""
    found = best(graph, start, goal, 1)
    return found[0] if found else None


def best(
    graph: networkx.DiGraph, start: Hashable, goal: Hashable, k: int, steps: int | None = None
) -> list[Plan]:
    """The k shortest paths that pass nothing twice, shortest first, of at most `steps` steps if so wished.

    Fewer where there are fewer. With all edges there, the direct step is among them unless `steps` is the point: a
    detour is shorter only where curved distances break the triangle inequality, as one minus a cosine does.
    """
    for name in (start, goal):
        if name not in graph:
            hint = did_you_mean(str(name), [str(one) for one in graph])
            raise UserError(f"the graph has no {shown(name)}" + (f"; {hint}" if hint else ""))
    if start == goal:
        return [Plan((start,), 0.0)]
    paths = networkx.shortest_simple_paths(graph, start, goal, weight="weight")
    if steps is not None:
        paths = (path for path in paths if len(path) <= steps + 1)
    try:
        return [
            Plan(tuple(path), float(networkx.path_weight(graph, path, "weight"))) for path in islice(paths, k)
        ]
    except networkx.NetworkXNoPath:
        return []

"""Target@3, violation@1 and nDCG@5 of each package, and what it does that random words do not."""

from __future__ import annotations

import numpy as np
from engine.tables import rows as markdown
from family.tables import mark, written

from packages.measuring import RANDOM, Bench
from testbed.measures import Seen, parse
from testbed.measures.base import Level
from testbed.seeds import rng_for
from testbed.statistics import Cells, Intervals, holm, sign_flip

TITLES = {
    "bm25": "BM25",
    "dense": "MiniLM embeddings",
    "llm": "SmolLM2-135M recommender, pointwise",
}
MEASURES = ("top@3", "violation@1", "nDCG@5")
HEAD = ("package", "Target@3", "Target@3: − clean", "− random words", "p", "violation@1", "nDCG@5", "")


def table(bench: Bench, name: str) -> str:
    """The packages against one victim, strongest first; '' where nothing is complete."""
    clean = values(bench, name, None)
    found = {one: cells for one in bench.names if (cells := values(bench, name, one)) is not None}
    if clean is None or RANDOM not in found:
        return ""
    intervals = Intervals(lambda key: rng_for("safegeo", key))
    targets = tuple(range(clean.shape[1]))
    gains = {one: cells[0] - found[RANDOM][0] for one, cells in found.items() if one != RANDOM}
    tests = [sign_flip(gain.mean(1).tolist(), rng_for("safegeo", "flips")) for gain in gains.values()]
    adjusted = dict(zip(gains, holm([1.0 if test is None else test.p for test in tests]), strict=True))
    order = sorted(gains, key=lambda one: -float(found[one][0].mean()))
    lines = [
        ["(clean)", *_levels(clean, 0), "", "", "", *_levels(clean, 1, 2), ""],
        [RANDOM, *_levels(found[RANDOM], 0), "", "", "", *_levels(found[RANDOM], 1, 2), ""],
    ]
    for one in order:
        lift = intervals.of(Cells((found[one][0] - clean[0])[:, :, None], targets), (-1, 1), binary=True)
        more = intervals.of(Cells(gains[one][:, :, None], targets), (-1, 1), binary=True)
        p = adjusted[one]
        lines.append(
            [
                f"`{one}`",
                *_levels(found[one], 0),
                written(lift),
                written(more),
                f"{p:.3f}" if p >= 0.001 else "< .001",
                *_levels(found[one], 1, 2),
                mark(more, p),
            ]
        )
    count = clean.shape[1] * clean.shape[2]
    about = f"**{TITLES[name]}.** {clean.shape[1]} requests, three attacked candidates of each: {count} rankings a row."
    return f"{about}\n\n{markdown(HEAD, lines)}"


def values(bench: Bench, name: str, package: str | None) -> np.ndarray | None:
    """(measures, requests, targets of each); None where something is missing."""
    measures = [parse(one) for one in MEASURES]
    rows = []
    for request in bench.catalog.requests:
        breaking = frozenset(
            item
            for item in request.candidates
            if not all(wish.holds(bench.catalog.item(item).attributes) for wish in request.constraints)
        )
        for item in bench.targets[request.id]:
            ranking = bench.ranking(name, request.id, item, package)
            if ranking is None:
                return None
            rows.append(Seen(tuple(ranking), item, None, bench.catalog.judgements[request.id], breaking))
    found = np.stack([one.of(rows) for one in measures if isinstance(one, Level)])
    return found.reshape(len(MEASURES), len(bench.targets), -1)


def _levels(cells: np.ndarray, *which: int) -> list[str]:
    return [f"{np.nanmean(cells[one]):.2f}" for one in which]

"""What a defence does to a clean ranking, what it takes, and what it leaves of texts that were not made for it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from statistics import mean, median
from typing import Any

import numpy as np
from engine.log import Log
from engine.tables import rows

from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.protocols import Context, StagePlugin
from testbed.seeds import rng_for
from testbed.statistics import Cells, Intervals
from testbed.types import Listing, Situation, Slate


def measure(
    name: str,
    plugin: StagePlugin,
    base: str,
    catalog: Catalog,
    texts: Mapping[str, Sequence[Listing]],
    env: Environment,
    log: Log,
    requests: int,
) -> None:
    """Rankings of the clean catalog and of those with one attacked listing each, request by request."""
    stage: Any = None
    for place, request in enumerate(catalog.requests[:requests]):
        key = f"cost/{name}/{request.id}"
        if key in log:
            continue
        stage = stage or plugin.build(catalog, env)
        context = Context(request, Situation(request.id, place), None, place)
        started = time.process_time()
        clean = stage(context, catalog.source())
        seconds = time.process_time() - started
        grades = catalog.judgements[request.id]
        ranks: dict[str, list[list[int | None]]] = {}
        for kind, listings in texts.items():
            for listing in listings:
                answer = stage(context, replaced(catalog, listing))
                pair = [clean.rank_of(listing.item_id), answer.rank_of(listing.item_id)]
                ranks.setdefault(kind, []).append(pair)
        quality = ndcg(list(clean.ids), grades)
        log.add(key, base=base, seconds=seconds, ndcg=quality, ranks=ranks)


def table(log: Log, names: Sequence[str]) -> str:
    """A row a defence: nDCG, time next to the bare stage, and mean rank gained by each kind of text."""
    lines = []
    found = {
        name: {
            key.split("/")[2]: entry for key, entry in log.entries.items() if key.startswith(f"cost/{name}/")
        }
        for name in names
    }
    every = [entry for entries in found.values() for entry in entries.values()]
    kinds = dict.fromkeys(kind for entry in every for kind in entry["ranks"])
    for name, entries in found.items():
        if not entries:
            continue
        bare = next(iter(entries.values()))["base"]
        base = found.get(bare, {})
        shared = [request for request in entries if request in base]
        change = [entries[request]["ndcg"] - base[request]["ndcg"] for request in shared]
        times = [entries[request]["seconds"] / base[request]["seconds"] for request in shared]
        quality = mean(entry["ndcg"] for entry in entries.values())
        cells = [
            f"{quality:.3f}",
            changed(change) if change and name != bare else "",
            f"{median(times):.2f}" if times else "",
        ]
        for kind in kinds:
            pairs = [pair for entry in entries.values() for pair in entry["ranks"].get(kind, ())]
            cells.append(_moved(pairs, len(entries)) if pairs else "")
        lines.append([name, *cells])
    head = ["defence", "nDCG@10", "change", "time", *(f"{kind}: up / first / gone" for kind in kinds)]
    return rows(head, lines) if lines else ""


def changed(values: Sequence[float]) -> str:
    """Mean over requests with its interval of 95 %."""
    if not any(values):
        return "0 for each request"
    cells = Cells(np.array(values)[None, :, None], (0,))
    one = Intervals(lambda name: rng_for("defences", name)).of(cells, (-1, 1))
    if one.low is None or one.high is None:
        return f"{mean(values):+.3f}"
    return f"{mean(values):+.3f} [{one.low:+.3f}, {one.high:+.3f}]"


def _moved(pairs: Sequence[Sequence[int | None]], requests: int) -> str:
    """Shares of pairs in which the listing went up, came first without having been, was left out."""
    known = [(before, after) for before, after in pairs if before is not None]
    up = mean(after is not None and after < before for before, after in known) if known else 0
    first = mean(after == 1 and before != 1 for before, after in known) if known else 0
    gone = mean(after is None for _, after in known) if known else 0
    return f"{100 * up:.0f} / {100 * first:.0f} / {100 * gone:.0f}"


def replaced(catalog: Catalog, listing: Listing) -> Slate:
    """The catalog with one listing replaced."""
    return Slate(tuple(listing if one.item_id == listing.item_id else one for one in catalog.source()))


def ndcg(ids: list[str], grades: Mapping[str, int]) -> float:
    """nDCG@10 of a ranking, as ir-measures has it."""
    import ir_measures

    qrels = [ir_measures.Qrel("q", item, grade) for item, grade in grades.items()]
    run = [ir_measures.ScoredDoc("q", item, -float(rank)) for rank, item in enumerate(ids)]
    return float(ir_measures.calc_aggregate([ir_measures.nDCG @ 10], qrels, run)[ir_measures.nDCG @ 10])

"""What is the planner worth on the catalogs that come with the testbed? nDCG@10 with heads and without, by catalog.

    python benchmarks/goal_catalogs.py [--catalogs headphones,novels] [--write-docs]

Every listing is ranked for every request, with the simulated dialogue before it and its goal (`use: conversations`).
The default heads are taught at first use. --write-docs puts the table into docs/goal-planning.md.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is first imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from retrieval.scores import difference, interval
from retrieval.table import write
from victims.table import cell

from testbed.catalog import Catalog
from testbed.errors import UserError
from testbed.measures.base import Seen
from testbed.measures.quality import quality
from testbed.scenario import from_mapping
from testbed.stack import Call
from testbed.types import Situation
from testbed.world import World, build

PAGE = Path(__file__).parents[1] / "docs" / "goal-planning.md"
BEGIN, END = "<!-- catalogs: begin -->", "<!-- catalogs: end -->"
CATALOGS = ("coffee_machines", "headphones", "tents", "hotels", "novels")
HEADS, PLAIN, BM25 = "goals", "goals, plain cosine", "bm25, request alone"
ALONE = ", follows: 0"
ROWS = {
    BM25: {"use": "bm25", "k": 10},
    "dense, request alone": {"use": "dense", "k": 10},
    PLAIN: {"use": "goals", "heads": False, "plans": 0},
    HEADS: {"use": "goals", "plans": 0},
    f"{PLAIN}{ALONE}": {"use": "goals", "heads": False, "follows": 0, "plans": 0},
    f"{HEADS}{ALONE}": {"use": "goals", "follows": 0, "plans": 0},
}
MEASURE = "nDCG@10"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, then print the table."""
    given = arguments(argv)
    try:
        found = {name: measured(name, given.threads) for name in given.catalogs}
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    text = markdown(found)
    print(text)
    if given.write_docs:
        write(PAGE, text, BEGIN, END)


def measured(name: str, threads: int | None) -> dict[str, np.ndarray]:
    """Row → nDCG@10 of every request, (requests,)."""
    found = {}
    for row, stage in ROWS.items():
        scenario = from_mapping(
            {
                "version": 1,
                "name": "goal-catalogs",
                "catalog": {"use": "conversations", "over": {"use": name}},
                "stack": [stage],
                "evaluate": {"requests": "all", "orders": 1},
                "measures": [MEASURE],
            }
        )
        world = build(scenario, threads=threads)
        found[row] = _ranked(world, world.catalog)
    return found


def _ranked(world: World, catalog: Catalog) -> np.ndarray:
    calls = [Call(one, Situation(one.id, 0)) for one in catalog.requests]
    slates = [outcome.slate for outcome in world.stack.run(calls)]
    seen = [
        Seen(tuple(slate.ids), relevance=catalog.judgements[one.id])
        for one, slate in zip(catalog.requests, slates, strict=True)
    ]
    return np.asarray(quality(MEASURE).of(seen), dtype=np.float64)


def markdown(found: dict[str, dict[str, np.ndarray]]) -> str:
    """A column a catalog, one for all requests together; differences of heads from plain cosine below."""
    together = {row: np.concatenate([rows[row] for rows in found.values()]) for row in ROWS}
    columns = {**found, "all": together} if len(found) > 1 else found
    requests = [f"{name} ({len(rows[HEADS])} requests)" for name, rows in columns.items()]
    lines = [f"| | {' | '.join(requests)} |", "|---|" + "---|" * len(columns)]
    lines += [
        f"| {row} | {' | '.join(cell(interval(rows[row])) for rows in columns.values())} |" for row in ROWS
    ]
    for one, other in ((HEADS, PLAIN), (f"{HEADS}{ALONE}", f"{PLAIN}{ALONE}"), (HEADS, BM25)):
        if one in ROWS and other in ROWS:
            cells = [_less(rows[one], rows[other]) for rows in columns.values()]
            lines.append(f"| {one} − {other} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _less(one: np.ndarray, other: np.ndarray) -> str:
    test = difference(one, other)
    if test is None or test[0].estimate is None:
        return "–"
    if test[0].low is None or test[0].high is None:
        return f"{test[0].estimate:+.3f}"
    return f"{test[0].estimate:+.3f} [{test[0].low:+.2f}, {test[0].high:+.2f}]"


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--catalogs", type=lambda text: tuple(text.split(",")), default=CATALOGS)
    parser.add_argument("--write-docs", action="store_true", help=f"put the table into docs/{PAGE.name}")
    parser.add_argument("--threads", type=int)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

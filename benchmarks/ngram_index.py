"""SEAL's n-gram index: what it takes to build, to go on from n-grams, to find them, and its part in a query.

    python benchmarks/ngram_index.py [--beir FOLDER] [--quick] [--only ours,peer,growth,stage] [--write-docs]

The peer is infini-gram 2.6, which is installed on first use into an environment of its own below the folder.
Everything measured goes to a log at once; a benchmark that was interrupted goes on where it was. See
docs/ngram-index.md.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is first imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.log import Log
from ngrams import sections, stage
from ngrams.bench import Bench, Options
from ngrams.tables import publish, tables

SECTIONS = {
    "ours": sections.ours,
    "peer": sections.peer,
    "growth": sections.growth,
    "stage": stage.measure,
}
QUICK = {
    "sizes": (50_000,),
    "growth": (20_000, 50_000, 100_000),
    "repeats": 5,
    "peer_repeats": 1,
    "queries": 2,
    "listings": 100,
    "quick": True,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is not measured yet, then print the tables."""
    options, only, write, path = arguments(argv)
    bench = Bench(options, Log(path))
    bench.agree()
    try:
        for name, measure in SECTIONS.items():
            if name in only:
                measure(bench)
    except KeyboardInterrupt:
        raise SystemExit("stopped; the same command goes on from here") from None
    for title, table in tables(bench.log).items():
        print(f"\n## {title}\n\n{table}")
    if write:
        publish(bench.log, Path(__file__).parents[1] / "docs")


def arguments(argv: Sequence[str] | None) -> tuple[Options, tuple[str, ...], bool, Path]:
    """Options, sections, whether documents are written, and the log."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="everything tiny, in a minute or two")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, with commas between")
    parser.add_argument("--write-docs", action="store_true", help="refresh docs/ngram-index.md and its plots")
    parser.add_argument(
        "--folder", type=Path, default=Path(".bench/ngrams"), help="log, corpora, environment"
    )
    parser.add_argument("--log", type=Path, help="default: results.jsonl or quick.jsonl in the folder")
    parser.add_argument(
        "--beir", type=Path, help="a BEIR folder whose texts and queries are measured as well"
    )
    for name in ("sizes", "growth", "depths", "beams"):
        parser.add_argument(f"--{name}", type=_numbers, help="with commas between")
    for name in ("repeats", "peer-repeats", "queries", "listings", "threads"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--memory-gb", type=float, help="most that our index's process may take")
    given = vars(parser.parse_args(argv))
    only, write, log = tuple(given.pop("only").split(",")), given.pop("write_docs"), given.pop("log")
    if unknown := [name for name in only if name not in SECTIONS]:
        parser.error(f"--only: there is no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    if given["beir"] is not None and not given["beir"].is_dir():
        parser.error(f"--beir: there is no folder {given['beir']}")
    quick = QUICK if given.pop("quick") else {}
    options = Options(folder=given.pop("folder").resolve())
    chosen = {name: value for name, value in given.items() if value is not None}
    options = replace(options, **{**quick, **chosen})
    return options, only, write, log or options.folder / ("quick.jsonl" if quick else "results.jsonl")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(float(part)) for part in text.split(","))


if __name__ == "__main__":
    main()

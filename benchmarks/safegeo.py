"""Do SafeGEO's 22 static packages move the embedded victims, by its own measures and beside random text?

    python benchmarks/safegeo.py FOLDER [--victims bm25,dense,llm] [--requests 4] [--write-docs]

FOLDER is SafeGEO's. For the first requests of the test split of two verticals the listings show what the clean source
documents say; the page that a package plants is appended to one of three candidates. Control: as many random words of
the catalog. Target@3, violation@1 and nDCG@5 of every package are in the table; the same command goes on from the log.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is first imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.log import Log
from packages.measuring import Bench
from packages.tables import table
from retrieval.table import write

from testbed.environment import Environment
from testbed.errors import UserError

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- packages behind {}: begin -->", "<!-- packages behind {}: end -->"
VICTIMS = ("bm25", "dense", "llm")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is not measured yet, then print the tables."""
    given = arguments(argv)
    if given.threads:
        from testbed.language.precision import set_threads

        set_threads(given.threads)
    bench = Bench(
        given.folder,
        given.requests,
        Log(given.log / "log.jsonl"),
        Environment(device="cpu", threads=given.threads),
    )
    try:
        try:
            for name in given.victims:
                bench.run(name, lambda line: print(line, file=sys.stderr, flush=True))
        except KeyboardInterrupt:
            print("stopped; the same command goes on from here", file=sys.stderr)
        for name in given.victims:
            text = table(bench, name)
            print(f"{text}\n")
            if given.write_docs and text:
                write(DOCS / "attack-table.md", text, *(mark.format(name) for mark in (BEGIN, END)))
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="SafeGEO's folder")
    parser.add_argument("--victims", type=_names, default=VICTIMS, help=f"of {', '.join(VICTIMS)}")
    parser.add_argument("--requests", type=int, default=4, help="of each vertical")
    parser.add_argument("--log", type=Path, default=Path(".bench/safegeo"), help="where the log is")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/attack-table.md")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args(argv)
    for name in given.victims:
        if name not in VICTIMS:
            parser.error(f"--victims: there is no {name!r}; there are {', '.join(VICTIMS)}")
    if given.requests < 1:
        parser.error("--requests: must be at least 1")
    return given


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


if __name__ == "__main__":
    main()

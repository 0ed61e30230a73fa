"""Does each attack beat random text at its access level, for the same queries?

    python benchmarks/attack_family.py [--victims llm,stack,bm25,dense,seal] [--rows gcg,hotflip] [--seeds 0,1]

Every attack of the family searches a text for two listings with two seeds, within one budget of queries. The control
is the best of as many random texts of that length as the same budget pays for, by the same signal (one text where
nothing may be asked). Both are ranked on requests that were not seen. What is measured is in a log; the same command
goes on from there. The tables are Markdown; --write-docs puts them into docs/attack-table.md.
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
from family.measuring import Bench
from family.rows import rows
from family.tables import table
from family.victims import victims
from retrieval.table import write

from testbed.environment import Environment
from testbed.errors import UserError

DOCS = Path(__file__).parents[1] / "docs"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is not measured yet, then print the tables."""
    given = arguments(argv)
    if given.threads:
        from testbed.language.precision import set_threads

        set_threads(given.threads)
    known = victims(Environment(device="cpu", threads=given.threads))
    chosen = {name: known[name] for name in given.victims}
    kept = tuple(row for row in rows() if not given.rows or row.name in given.rows)
    bench = Bench(Log(given.folder / "log.jsonl"), chosen, kept, given.seeds, given.queries)
    try:
        try:
            if not given.only_tables:
                bench.run(lambda line: print(line, file=sys.stderr, flush=True))
        except KeyboardInterrupt:
            print("stopped; the same command goes on from here", file=sys.stderr)
        made = [make() for make in chosen.values()]
        text = "\n\n".join(filter(None, (table(bench, victim) for victim in made)))
        print(text)
        if given.write_docs:
            write(DOCS / "attack-table.md", text)
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names, attacks = list(victims(Environment())), [row.name for row in rows()]
    parser.add_argument("--victims", type=_names, default=tuple(names), help=f"of {', '.join(names)}")
    parser.add_argument(
        "--rows", action="append", choices=attacks, help="one of them, again for more; all when left out"
    )
    parser.add_argument("--queries", type=int, help="each attack's budget, in place of the victim's own")
    parser.add_argument("--seeds", type=_numbers, default=(0, 1), help="such as 0,1,2")
    parser.add_argument("--folder", type=Path, default=Path(".bench/attacks"), help="where the log is")
    parser.add_argument("--only-tables", action="store_true", help="of what is measured; measure nothing")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/attack-table.md")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args(argv)
    for name in given.victims:
        if name not in names:
            parser.error(f"--victims: there is no {name!r}; there are {', '.join(names)}")
    if given.queries is not None and given.queries < 2:
        parser.error("--queries: must be at least 2")
    return given


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers") from None


if __name__ == "__main__":
    main()

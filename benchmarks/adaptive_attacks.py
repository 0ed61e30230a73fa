"""What does each defence leave of attacks that were searched through it?

    python benchmarks/adaptive_attacks.py [--defences NAME ...] [--write-docs]

Attacks by scores and gradients search a text for four coffee machines through every defence, and without it, for as
many queries. Control: the best of as much random text as the budget is for, by scores through the defence. Everything
is ranked behind the defence on requests that were not seen. The same command goes on from the log; --write-docs puts
the tables into docs/defences.md and a picture beside it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is first imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from defending.adapting import Adapting
from defending.held import best_of_all, by_attack
from defending.plots import draw
from defending.rows import ADAPTIVE
from engine.log import Log
from engine.tables import between

from testbed.environment import Environment
from testbed.errors import UserError

PAGE = Path(__file__).parents[1] / "docs" / "defences.md"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is not measured yet, then print the tables."""
    given = arguments(argv)
    log = Log(given.folder / "log.jsonl")
    env = Environment(device="cpu", threads=given.threads)
    if given.threads:
        from testbed.language.precision import set_threads

        set_threads(given.threads)
    bench = Adapting(log, env, ADAPTIVE)
    try:
        for name in () if given.only_tables else given.defences:
            bench.run(name, lambda line: print(line, file=sys.stderr, flush=True))
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    tables = {"adaptive": best_of_all(log, ADAPTIVE), "adaptive by attack": by_attack(log, ADAPTIVE)}
    written = PAGE.read_text("utf-8")
    for title, text in tables.items():
        print(f"\n### {title}\n\n{text}")
        written = between(written, title, text) if text and given.write_docs else written
    if given.write_docs:
        PAGE.write_text(written, "utf-8")
        draw(log, ADAPTIVE, PAGE.parent / "images" / "defences-adaptive.svg")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--defences", action="append", choices=list(ADAPTIVE), help="one of them, again for more; all"
    )
    parser.add_argument("--only-tables", action="store_true", help="of what is measured; measure nothing")
    parser.add_argument("--folder", type=Path, default=Path(".bench/adaptive"), help="where the log is")
    parser.add_argument("--write-docs", action="store_true", help="put tables and picture into docs/")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args(argv)
    given.defences = given.defences or list(ADAPTIVE)
    return given


if __name__ == "__main__":
    main()

"""Does goal drift move before the rank does? Every step of a finished run's attacks, on its held-out requests.

    python benchmarks/goal_drift.py RUN [--random 20] [--requests 6] [--set attack.steps=10 ...] [--write-docs]

RUN is the folder of a finished run with traces, such as that of `make demo`. The texts of every step go through the
run's stack, beside random texts of the same length; `goal_reach` is observed with heads and without. --set: what the
run was started with. A benchmark that was stopped goes on where it was. --write-docs puts tables and plot into docs/.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is first imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from drift.measuring import Trace, measure
from drift.plots import draw
from drift.steps import courses
from drift.tables import markdown
from engine.log import Log
from retrieval.table import write

from testbed.errors import UserError

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- drift: begin -->", "<!-- drift: end -->"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is not measured yet, then print the tables."""
    given = arguments(argv)
    log = Log(given.folder / "log.jsonl")
    try:
        trace = Trace.of(given.run, given.set, given.random, given.threads, given.requests)
        measure(trace, log)
        found = courses(trace, log)
        text = markdown(found, len(trace.situations), given.random, trace.world.scenario.name)
        print(text)
        if given.write_docs:
            write(DOCS / "goal-planning.md", text, BEGIN, END)
            draw(found, DOCS / "images")
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run with traces")
    parser.add_argument("--set", action="append", default=[], help="what the run was started with")
    parser.add_argument("--random", type=int, default=20, help="random texts for each target")
    parser.add_argument("--requests", type=int, help="held-out requests, the first; default: all")
    parser.add_argument("--folder", type=Path, default=Path(".bench/goal_drift"), help="log")
    parser.add_argument("--write-docs", action="store_true", help="put tables and plot into docs/")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args(argv)
    for name in ("random", "requests"):
        if getattr(given, name) is not None and getattr(given, name) < 1:
            parser.error(f"--{name}: must be at least 1")
    return given


if __name__ == "__main__":
    main()

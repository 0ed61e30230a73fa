"""How well do curved heads plan? Next utterance, direction, short and long term, beside plain cosine.

    python benchmarks/goals.py --dailydialog FOLDER --redial FOLDER [--seeds 3] [--limit 2000] [--set margin=0.2 ...]

Every folder is measured as published and without training dialogues that overlap with test. Heads are trained as
`testbed train goals` does, with an early end on validation; a benchmark that was stopped goes on where it was. The
tables are Markdown; --write-docs puts them into docs/goal-planning.md.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is first imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from engine.log import Log
from planning.measuring import measure
from planning.sets import PLAIN, ROWS, sets
from planning.tables import Found, markdown
from pydantic import ValidationError
from retrieval.table import write

from retrievers.goals.tuning.options import OF_ENCODER, GoalsTrainer
from testbed.environment import Environment
from testbed.errors import UserError

PAGE = Path(__file__).parents[1] / "docs" / "goal-planning.md"
OWN = ("data", "validation", "test", "deduplicate", "limit", "loss", "seeds")
"""Options that the rows and the other arguments set."""


def main(argv: Sequence[str] | None = None) -> None:
    """Train and measure what is not measured yet, then print the tables."""
    given = arguments(argv)
    environment = Environment(given.device, threads=given.threads)
    if given.threads:
        from testbed.language.precision import set_threads

        set_threads(given.threads)
    log = Log(given.folder / "log.jsonl")
    found: dict[str, Found] = {}
    try:
        for one in sets(given.dailydialog, given.redial, given.limit):
            if given.only and given.only not in one.name:
                continue
            wanted = tuple(row for row in ROWS if row == PLAIN or given.rows in row)
            keys = measure(one, wanted, given.seeds, dict(given.set), given.folder, environment, log)
            rows = {
                row: [log.entries[key] for (mine, _), key in keys.items() if mine == row] for row in wanted
            }
            found[one.name] = rows
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    text = markdown(found)
    print(text)
    if given.write_docs:
        write(PAGE, text)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dailydialog", type=Path, help="a folder with DailyDialog's three files")
    parser.add_argument("--redial", type=Path, help="a folder with ReDial's files")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, help="training dialogues, the first ones; default: all")
    parser.add_argument("--only", help="only sets with this in their name")
    parser.add_argument("--rows", default="", help="only rows with this in their name, and plain cosine")
    parser.add_argument("--set", action="append", type=_option, default=[], help="option of every training")
    parser.add_argument("--folder", type=Path, default=Path(".bench/goals"))
    parser.add_argument("--write-docs", action="store_true", help=f"put the tables into docs/{PAGE.name}")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args(argv)
    if not given.dailydialog and not given.redial:
        parser.error("give --dailydialog, --redial or both")
    for name in ("seeds", "limit"):
        if getattr(given, name) is not None and getattr(given, name) < 1:
            parser.error(f"--{name}: must be at least 1")
    try:
        GoalsTrainer(data=Path("x"), **dict(given.set))
    except ValidationError as error:
        parser.error(
            "; ".join(f"--set {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        )
    return given


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    if name in OWN:
        raise argparse.ArgumentTypeError(f"{name} is set by the rows and the other arguments")
    if name in OF_ENCODER:
        raise argparse.ArgumentTypeError(
            f"{name}: the encoder is not tuned here; `testbed train goals` is for that"
        )
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not YAML: {error}") from None


if __name__ == "__main__":
    main()

"""How far do attacks on histories and on the training move a sequential recommender, and at which reasoning step?

    python benchmarks/rearec_attacks.py FOLDER [--models id-base,id-prl,text-prl] [--targets 1] [--users 300]

FOLDER holds interactions with texts, for instance ml-100k as RecBole's atomic files. Small models are trained into a
folder beside the log, one after the other; a training or a measurement that was stopped goes on where it was. Fake
users, three kinds, are put into what a model (and three floors) learns from, for one target of every quartile of
popularity; items are put into the histories of users of trained models, with and without reasoning steps. The tables
are Markdown; --write-docs puts them into docs/rearec.md and draws the plot.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is first imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from engine.log import Log
from pollution.bench import Field, field_of, measure_fakes, measure_pollution, quarters
from pollution.models import NAMES
from pollution.plots import draw
from pollution.tables import fakes_table, pollution_table, quartile_table, steps_table, text_steps_table
from retrieval.table import write

from retrievers.rearec.data import leave_one_out, read
from retrievers.rearec.data.fakes import Kind
from testbed.environment import Environment
from testbed.errors import UserError

DOCS = Path(__file__).parents[1] / "docs"
PARTS = ("fakes", "pollution")
BEGIN, END = "<!-- attacks measured: begin -->", "<!-- attacks measured: end -->"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is not measured yet, then print the tables."""
    given = arguments(argv)
    environment = Environment(device="cpu", threads=given.threads)
    if given.threads:
        from testbed.language.precision import set_threads

        set_threads(given.threads)
    log = Log(given.folder / "log.jsonl")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="leave-one-out")
            split = leave_one_out(read(given.data))
        field = field_of(given.data, split, given.targets, given.users, given.folder, environment)
        try:
            if "pollution" in given.parts:
                measure_pollution(field, log, given.models)
            if "fakes" in given.parts:
                measure_fakes(field, log, get_args(Kind), given.shares, given.times)
        except KeyboardInterrupt:
            print("stopped; the same command goes on from here", file=sys.stderr)
        text = tables(field, log)
        print(text)
        if given.write_docs:
            write(DOCS / "rearec.md", text, BEGIN, END)
            draw(log, DOCS / "images")
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def tables(field: Field, log: Log) -> str:
    """All of them, with a line on what was measured."""
    lengths = quarters(field.split.test.ends[field.users])
    titles = [field.split.interactions.texts[target] or str(target) for target in field.targets]
    about = (
        f"{len(field.users):,} held-out users; targets, from the rarest quarter of items to the most common: "
        f"{'; '.join(titles)}. Intervals of 95 % over users and targets."
    )
    return "\n\n".join(
        [
            about,
            "**Fake users in the training**",
            fakes_table(log),
            "**Items in histories, and a text edit for comparison**",
            pollution_table(log),
            "**By quarter of targets and of users**",
            quartile_table(log, field.quartile, lengths),
            "**Step by step: items in histories**",
            steps_table(log),
            "**Step by step: a text edit of the target**",
            text_steps_table(log),
        ]
    )


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a file of interactions, or a folder with one")
    parser.add_argument("--parts", type=_names, default=PARTS, help=f"of {', '.join(PARTS)}; default: both")
    parser.add_argument("--models", type=_names, default=tuple(NAMES), help=f"of {', '.join(NAMES)}")
    parser.add_argument(
        "--targets", type=int, default=1, help="targets of each quarter of items by popularity"
    )
    parser.add_argument("--users", type=int, default=300, help="held-out users that are measured, at most")
    parser.add_argument(
        "--shares", type=_shares, default=(0.01,), help="fake users of each target, such as 0.01,0.05"
    )
    parser.add_argument("--times", type=int, default=1, help="how often the target stands in a fake history")
    parser.add_argument("--folder", type=Path, default=Path(".bench/rearec_attacks"), help="log and models")
    parser.add_argument("--write-docs", action="store_true", help="put tables and plot into docs/")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args(argv)
    for name, known in (("parts", PARTS), ("models", tuple(NAMES))):
        unknown = [one for one in getattr(given, name) if one not in known]
        if unknown:
            parser.error(f"--{name}: there is no {unknown[0]!r}; there are {', '.join(known)}")
    for name in ("targets", "users", "times"):
        if getattr(given, name) < 1:
            parser.error(f"--{name}: must be at least 1")
    return given


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _shares(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers") from None
    if not all(0 < share <= 1 for share in found):
        raise argparse.ArgumentTypeError(f"{text!r}: a share is above 0 and at most 1")
    return found


if __name__ == "__main__":
    main()

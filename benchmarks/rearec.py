"""Does latent reasoning help a next-item model? ERL and PRL beside their controls and floors, from one backbone.

    python benchmarks/rearec.py DATA [DATA ...] [--seeds 0,1,2] [--steps 2] [--write-docs]

DATA is a file of interactions or a folder with one, as `testbed train rearec` takes it. What is not trained yet is
trained, seed by seed, into folders below --out, with the options that benchmarks/sequential/recipes.py has for data of
that name; --set replaces some. Then all test items are ranked, after every reasoning step. Trainings go on from
their last epoch and measurements are kept, so a benchmark that was stopped goes on where it was. The tables are
Markdown; --write-docs puts them and the plots into docs/rearec.md.
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
from typing import Any

import yaml
from engine.log import Log
from sequential.bench import Bench
from sequential.recipes import NAMES, Plan
from sequential.tables import publish, tables

from testbed.environment import Environment
from testbed.errors import UserError

PARTS = ("floors", "train", "measure", "latency")


def main(argv: Sequence[str] | None = None) -> None:
    """Train and measure what is not there yet, then print the tables."""
    given = arguments(argv)
    log = Log(given.out / "log.jsonl")
    try:
        try:
            for data in given.data:
                one(given, data, log)
        except KeyboardInterrupt:
            print("stopped; the same command goes on from here", file=sys.stderr)
        for title, text in tables(log).items():
            print(f"\n### {title}\n\n{text}")
        if given.write_docs:
            left = publish(log, Path(__file__).parents[1] / "docs")
            print(f"no place in docs/rearec.md: {', '.join(left) or 'none'}", file=sys.stderr)
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def one(given: argparse.Namespace, data: Path, log: Log) -> None:
    """Everything about one data set."""
    from testbed.language.precision import choose_device, set_threads

    if given.threads:
        set_threads(given.threads)
    plan = Plan(data, given.out, given.steps, dict(given.set))
    env = Environment(given.device, "float32", given.threads)
    bench = Bench(plan, log, env, choose_device(given.device), dict(given.model))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of leave-one-out; docs/rearec.md says it
        bench.describe()
    for name, options in given.tried:
        bench.attempt(name, options, given.seeds[0])
    if given.tried:
        return
    if "floors" in given.only:
        bench.floors()
    for seed in given.seeds:
        for variant in given.variants or plan.recipe.variants:
            if {"train", "measure"} & set(given.only):
                bench.model(variant, seed, "train" in given.only)
    if "latency" in given.only:
        bench.latency(given.rounds)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="*", help="interactions; none: tables of what is there")
    parser.add_argument("--out", type=Path, default=Path(".bench/rearec/public"), help="log, models, ranks")
    parser.add_argument("--seeds", type=_numbers, default=(0, 1, 2), help="with commas between")
    parser.add_argument("--steps", type=int, default=2, help="reasoning steps, K")
    parser.add_argument("--variants", type=_names, help=f"of {','.join(NAMES)}; default: those of the recipe")
    parser.add_argument(
        "--set", action="append", type=_option, default=[], help="OPTION=VALUE of all trainings"
    )
    parser.add_argument(
        "--try", dest="tried", action="append", type=_options, default=[],
        help="OPTION=VALUE;OPTION=VALUE: only train a base (or a `loss`) so and tell its validation; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--model", action="append", type=_pair, default=[],
        help="VARIANT=FOLDER: measure what `testbed train rearec` left instead of training; may be repeated",
    )  # fmt: skip
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=30, help="repeats of a time")
    parser.add_argument("--write-docs", action="store_true", help="refresh docs/rearec.md and its plots")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args(argv)
    given.only = tuple(given.only.split(","))
    if unknown := [name for name in given.only if name not in PARTS]:
        parser.error(f"--only: there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    for name, least in (("steps", 1), ("rounds", 1), ("threads", 1)):
        if getattr(given, name) is not None and getattr(given, name) < least:
            parser.error(f"--{name}: must be at least {least}")
    return given


def _numbers(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers") from None
    if len(set(found)) != len(found) or min(found) < 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected seeds from 0 on, none twice")
    return found


def _names(text: str) -> tuple[str, ...]:
    found = tuple(text.split(","))
    for name in found:
        _known(name)
    return found


def _known(name: str) -> str:
    if name not in NAMES:
        raise argparse.ArgumentTypeError(f"there is no variant {name!r}; there are {', '.join(NAMES)}")
    return name


def _pair(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not (equals and folder):
        raise argparse.ArgumentTypeError(f"{text!r} is not VARIANT=FOLDER")
    return _known(name), Path(folder)


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not OPTION=VALUE")
    try:
        return name.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not YAML: {error}") from None


def _options(text: str) -> tuple[str, dict[str, Any]]:
    found = dict(_option(part) for part in text.split(";"))
    return ", ".join(f"{name} {value}" for name, value in found.items()), found


if __name__ == "__main__":
    main()

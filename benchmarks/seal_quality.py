"""How well does SEAL retrieve? Every scoring, with and without a language model, beside BM25 and dense vectors.

    python benchmarks/seal_quality.py FOLDER [--model NAME=MODEL ...] [--limit 100] [--set alpha=2 ...]

FOLDER is a BEIR folder, such as SciFact's. Without --model the packaged model is measured as it is; a folder that
`testbed train seal` made is named the same way: `--model zero-shot=smollm2-135m --model tuned=FOLDER`. Every ranking
goes to a log at once, and the n-grams that a model writes serve all of its rows; a benchmark that was stopped goes
on where it was. The table is Markdown; --write-docs puts it into docs/seal.md.
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
from pydantic import ValidationError
from retrieval.rows import rows
from retrieval.scores import asked, measure, values
from retrieval.table import markdown, write

from catalogs.loaders.beir import Beir
from retrievers.seal import SEAL
from testbed.environment import Environment
from testbed.errors import UserError

OWN = ("model", "k", "scoring", "constrained")
"""Options in which the rows differ."""
PAGE = Path(__file__).parents[1] / "docs" / "seal.md"


def main(argv: Sequence[str] | None = None) -> None:
    """Rank what is not ranked yet, then print the table."""
    given = arguments(argv)
    environment = Environment(given.device, given.dtype, given.threads)
    if given.threads:
        from testbed.language.precision import set_threads

        set_threads(given.threads)
    log = Log(given.log)
    try:
        catalog = Beir(path=given.folder, split=given.split).load()
        every = rows(dict(given.model), dict(given.set), environment, dense=not given.no_dense)
        chosen = [one for one in every if not given.only or given.only in one.name]
        try:
            some = asked(catalog, given.limit, held_out=given.held_out)
            measure(catalog, chosen, some, environment, log)
        except KeyboardInterrupt:
            print("stopped; the same command goes on from here", file=sys.stderr)
        requests = asked(catalog, None, held_out=given.held_out)
        text = markdown([values(catalog, row, every, requests, log) for row in every], len(requests))
        print(text)
        if given.write_docs:
            write(PAGE, text)
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a BEIR folder")
    parser.add_argument("--split", default="test", help="judgements that are measured on")
    parser.add_argument(
        "--held-out", action="store_true", help="only queries that a training leaves out; with --split train"
    )
    parser.add_argument("--model", action="append", type=_pair, help="NAME=MODEL, may be repeated")
    parser.add_argument("--set", action="append", type=_option, default=[], help="option of every SEAL row")
    parser.add_argument("--only", help="measure only rows with this in their name; the table has all")
    parser.add_argument("--no-dense", action="store_true", help="leave dense vectors out")
    parser.add_argument("--limit", type=int, help="queries, the first by hash; default: all")
    parser.add_argument("--log", type=Path, default=Path(".bench/seal/quality.jsonl"))
    parser.add_argument("--write-docs", action="store_true", help=f"put the table into docs/{PAGE.name}")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args(argv)
    given.model = given.model or [("zero-shot", "smollm2-135m")]
    if given.limit is not None and given.limit < 1:
        parser.error("--limit: must be at least 1")
    try:
        SEAL.model_validate(dict(given.set))
    except ValidationError as error:
        parser.error(
            "; ".join(f"--set {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        )
    return given


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _option(text: str) -> tuple[str, Any]:
    name, value = _pair(text)
    if name in OWN:
        raise argparse.ArgumentTypeError(f"{name} is set by the rows themselves")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not YAML: {error}") from None


if __name__ == "__main__":
    main()

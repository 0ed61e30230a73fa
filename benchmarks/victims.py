"""How well does each victim recommend? Every reading of every model, beside a random order, retrievers and the rule.

    python benchmarks/victims.py [--safegeo FOLDER] [--paper-catalog coffee_machines.jsonl] [--limit 24]

Requests are those of the five shipped catalogs in lists of ten, of made-up pages of ten that no training sees, of
SafeGEO (about twenty candidates each), and eight for the paper's ten coffee machines, whose judgements were fixed
beforehand (benchmarks/victims/). Every ranking goes to a log at once; a benchmark that was stopped goes on where it
was. The tables are Markdown, for docs/victims.md.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is first imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from engine.log import Log
from victims.scores import measure, scores
from victims.sets import Set, made_up, own, paper, safegeo
from victims.table import markdown
from victims.victim import READINGS, victims

from testbed.environment import Environment
from testbed.errors import UserError


def main(argv: Sequence[str] | None = None) -> None:
    """Rank what is not ranked yet, then print the tables."""
    given = arguments(argv)
    environment = Environment(given.device, given.dtype, given.threads)
    if given.threads:
        from testbed.language.precision import set_threads

        set_threads(given.threads)
    log = Log(given.log)
    found = {}
    try:
        chosen = [one.some(given.limit) for one in sets(given)]
        every = victims(given.model, given.readings, environment)
        for one in chosen:
            for victim in every:
                began = time.monotonic()
                measure(one, victim, given.orders, environment, log)
                found[one.name, victim.name] = scores(one, victim, given.orders, log)
                print(f"{one.name}: {victim.name}, {time.monotonic() - began:.0f} s", file=sys.stderr)
    except UserError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
    print(markdown(found, list(dict.fromkeys(name for name, _ in found))))


def sets(given: argparse.Namespace) -> list[Set]:
    """What was asked for."""
    found = [] if given.no_own else [own(), made_up()]
    found += [safegeo(given.safegeo)] if given.safegeo else []
    found += [paper(given.paper_catalog)] if given.paper_catalog else []
    return found


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", help="may be repeated; default: smollm2-135m")
    parser.add_argument("--readings", help=f"with semicolons between: {'; '.join(READINGS)}")
    parser.add_argument("--safegeo", type=Path, help="a SafeGEO folder")
    parser.add_argument("--paper-catalog", type=Path, help="the paper's coffee_machines.jsonl")
    parser.add_argument(
        "--no-own", action="store_true", help="leave the shipped catalogs and made-up pages out"
    )
    parser.add_argument("--limit", type=int, help="requests of each set; default: all")
    parser.add_argument("--orders", type=int, default=4, help="presentation orders of each request")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--log", type=Path, default=Path(".bench/victims.jsonl"))
    given = parser.parse_args(argv)
    given.model = given.model or ["smollm2-135m"]
    given.readings = [one.strip() for one in given.readings.split(";")] if given.readings else list(READINGS)
    unknown = [one for one in given.readings if one not in READINGS]
    if unknown:
        parser.error(f"--readings: there is no {unknown[0]!r}; there are {', '.join(map(repr, READINGS))}")
    for name in ("limit", "orders"):
        if getattr(given, name) is not None and getattr(given, name) < 1:
            parser.error(f"--{name}: must be at least 1")
    return given


if __name__ == "__main__":
    main()

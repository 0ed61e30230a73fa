"""Do detectors keep their stated false positive rate on unseen honest listings, and what do defences find and cost?

    python benchmarks/defence_quality.py [texts] [asking] [cost] [--runs DIR ...] [--released DIR] [--write-docs]

`texts`: detectors that read listings alone, on six catalogs that no threshold saw, with fixed texts, those that the
attacks of some runs have found (--runs) and those published with Kumar & Lakkaraju 2024 (--released, a checkout of
their repository). `asking`: the known-answer probe, which asks a recommender about each listing; on fewer listings.
`cost`: rankings of clean and attacked coffee machines behind each defence. What has been measured is kept below --out,
and a benchmark that was stopped goes on. --write-docs puts the tables into docs/defences.md.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is first imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from defending import costing, detecting, texts
from defending.remembered import Remembering
from defending.rows import DEFENCES, DETECTORS, PROBES
from engine.log import Log
from engine.tables import between

from testbed.errors import UserError
from testbed.types import Listing

PARTS = ("texts", "asking", "cost")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is not there yet, then print the tables."""
    given = arguments(argv)
    log = Log(given.out / "log.jsonl")
    env = Remembering(threads=given.threads, file=given.out / "losses.jsonl")
    try:
        try:
            if given.parts:
                measure(given, env, log)
        except KeyboardInterrupt:
            print("stopped; the same command goes on from here", file=sys.stderr)
        tables = {
            "false alarms": detecting.false_alarms(log, [*DETECTORS, *PROBES]),
            "detection": detecting.detection(log, [*DETECTORS, *PROBES]),
            "cost": costing.table(log, list(DEFENCES)),
        }
        for title, text in tables.items():
            print(f"\n### {title}\n\n{text}")
        if given.write_docs:
            page = Path(__file__).parents[1] / "docs" / "defences.md"
            written = page.read_text("utf-8")
            for title, text in tables.items():
                written = between(written, title, text) if text else written
            page.write_text(written, "utf-8")
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def measure(given: argparse.Namespace, env: Remembering, log: Log) -> None:
    """The parts that were asked for."""
    from testbed.language.precision import set_threads

    set_threads(given.threads)
    known = texts.catalogs(given.catalogs)
    model = env.language_model("smollm2-135m")
    honest = {name: texts.clean(catalog) for name, catalog in known.items()}
    attacks: dict[str, dict[str, list[Listing]]] = {
        name: texts.attacked(catalog, model) for name, catalog in known.items()
    }
    coffee = known.get("coffee_machines")
    if coffee is not None:
        if given.runs:
            attacks["coffee_machines"]["gcg"] = texts.searched(given.runs, coffee)
        if given.released:
            attacks["coffee_machines"]["released"] = texts.released(given.released)
    if "texts" in given.parts:
        for name, plugin in DETECTORS.items():
            detecting.measure(name, plugin, known, attacks, honest, env, log)
    if "asking" in given.parts:
        few = {name: known[name] for name in ("coffee_machines", "headphones") if name in known}
        for name, plugin in PROBES.items():
            detecting.measure(name, plugin, few, attacks, {one: honest[one][:40] for one in few}, env, log)
    if "cost" in given.parts and coffee is not None:
        there = attacks["coffee_machines"]
        chosen = {kind: there[kind][: given.texts] for kind in ("gcg", "injection") if kind in there}
        for name in given.rows or DEFENCES:
            plugin, base = DEFENCES[name]
            costing.measure(name, plugin, base, coffee, chosen, env, log, given.requests)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "parts", nargs="*", choices=[*PARTS, []], help="what is measured; nothing: tables only"
    )
    parser.add_argument("--catalogs", type=lambda text: text.split(","), default=list(texts.CATALOGS))
    parser.add_argument(
        "--runs", type=Path, nargs="*", default=[], help="run directories whose texts are tried"
    )
    parser.add_argument("--released", type=Path, help="a checkout of llm-rank-optimizer")
    parser.add_argument("--requests", type=int, default=6, help="requests of `cost`")
    parser.add_argument(
        "--rows", nargs="*", choices=list(DEFENCES), default=[], help="defences of `cost`; all"
    )
    parser.add_argument("--texts", type=int, default=2, help="texts of a kind that `cost` tries")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(".bench/defences"))
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/defences.md")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

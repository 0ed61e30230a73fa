"""How fast are sequential models trained and evaluated? Ours beside RecTools' SASRec, in turns.

    python benchmarks/rearec_speed.py FOLDER [FOLDER ...] [--rounds 5] [--threads 1] [--write-docs]

FOLDER has interactions, such as MovieLens-100K's. Both learn from the same histories, the last items of everybody but
the two held out, with a model of the same size, as many histories a batch, and a loss of the same kind. Every
measurement is of one process alone, ours and the peer's by turns; the ratio of a round is what counts. The peer is
installed on first use into an environment of its own. A benchmark that was stopped goes on where it was.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from engine.client import Engine, EngineError
from engine.environment import python_with
from engine.log import Log
from engine.tables import between, rows

from retrievers.rearec.data import leave_one_out, read
from testbed.errors import UserError

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "rearec.md"
REQUIREMENTS = ("torch==2.13.0", "rectools[torch]==0.19.0")
SIZE = {"width": 64, "inner": 256, "batch": 128}
LOSSES = {"all items": None, "256 negatives": 256}
HEAD = (
    "data",
    "histories",
    "length",
    "loss",
    "ours, epoch, s",
    "peer / ours",
    "ours, evaluation, s",
    "peer / ours",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is not measured yet, then print the table."""
    given = arguments(argv)
    log = Log(given.folder / "results.jsonl")
    try:
        for data in given.data:
            measure(data, given, log)
    except (UserError, EngineError) as fault:
        print(fault, file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
    text = table(log)
    print(text)
    if given.write_docs:
        PAGE.write_text(between(PAGE.read_text("utf-8"), "speed", text), "utf-8")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+", help="folders with interactions")
    parser.add_argument("--length", type=int, default=50, help="last items of a history that are read")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path(".bench/rearec_speed"), help="log, environment")
    parser.add_argument("--write-docs", action="store_true", help=f"put the table into docs/{PAGE.name}")
    return parser.parse_args(argv)


def measure(data: Path, given: argparse.Namespace, log: Log) -> None:
    """All losses on one data set, by turns."""
    keys = {
        (loss, turn, engine): f"{data.name}/{given.length}/{loss}/{turn}/{engine}"
        for loss in LOSSES
        for turn in range(given.rounds)
        for engine in ("ours", "peer")
    }
    if all(key in log for key in keys.values()):
        return
    path = (given.folder / f"{data.name}-{given.length}.npz").resolve()
    facts = prepare(data, path, given.length)
    peer = python_with(given.folder.resolve() / "peer", "RecTools", REQUIREMENTS)
    commands = {
        "ours": [sys.executable, "-m", "throughput.own_worker"],
        "peer": [peer, "-m", "throughput.peer_worker"],
    }
    engines: dict[str, Engine] = {}
    try:
        for engine, command in commands.items():
            engines[engine] = Engine(command, given.threads, given.folder / f"{engine}.log", HERE)
            engines[engine].ask("load", path=str(path), threads=given.threads)
        for (loss, _, engine), key in keys.items():
            if key in log:
                continue
            found = engines[engine].ask("epoch", length=given.length, negatives=LOSSES[loss], **SIZE)
            log.add(key, data=data.name, length=given.length, loss=loss, engine=engine, **facts, **found)
            print(f"{key}: {found['train']['cpu']:.1f} s, {found['evaluate']['cpu']:.1f} s", file=sys.stderr)
    finally:
        for one in engines.values():
            one.close()


def prepare(data: Path, path: Path, length: int) -> dict[str, int]:
    """The histories that both engines read: the last `length` + 1 items to learn from, `length` to rank from."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of looking ahead, which does not matter for speed
        split = leave_one_out(read(data))
    interactions = split.interactions
    learnt = [split.training(user)[-length - 1 :] for user in range(len(interactions))]
    learnt = [one for one in learnt if len(one) > 1]
    known = [interactions.history(user)[:-1][-length:] for user in split.test.users]
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = {"": learnt, "known_": known}
    arrays = {f"{name}ptr": np.cumsum([0, *map(len, part)]) for name, part in parts.items()}
    arrays |= {f"{name}rows": np.concatenate(part) for name, part in parts.items()}
    np.savez(path, items=len(interactions.items), **arrays)
    return {"histories": len(learnt), "positions": sum(map(len, learnt)) - len(learnt)}


def table(log: Log) -> str:
    """Medians of CPU seconds, and of the ratios of rounds."""
    groups: dict[tuple[str, int, str], dict[int, dict[str, dict[str, dict[str, float]]]]] = {}
    facts: dict[tuple[str, int, str], int] = {}
    for key, entry in log.entries.items():
        name, turn = (entry["data"], entry["length"], entry["loss"]), int(key.split("/")[3])
        groups.setdefault(name, {}).setdefault(turn, {})[entry["engine"]] = entry
        facts[name] = entry["histories"]
    lines = []
    for name, turns in groups.items():
        whole = [turn for turn in turns.values() if len(turn) == 2]
        if not whole:
            continue
        line: list[object] = [name[0], f"{facts[name]:,}", name[1], name[2]]
        for what in ("train", "evaluate"):
            ratios = [turn["peer"][what]["cpu"] / turn["ours"][what]["cpu"] for turn in whole]
            line.append(f"{median(turn['ours'][what]['cpu'] for turn in whole):.1f}")
            line.append(f"{median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f})")
        lines.append(line)
    return rows(HEAD, lines)


if __name__ == "__main__":
    main()

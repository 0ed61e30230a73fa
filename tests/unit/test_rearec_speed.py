"""The benchmark of training speed: what both sides are given, what is timed, how rounds become a table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def _on_path() -> Iterator[None]:
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def prepared(tmp_path: Path) -> tuple[Path, dict[str, int]]:
    import rearec_speed as benchmark

    rng = np.random.default_rng(0)
    lines = [
        " ".join([f"u{user}", *(f"i{item}" for item in rng.permutation(12)[: 2 + user])]) for user in range(9)
    ]
    (tmp_path / "data.txt").write_text("\n".join(lines) + "\n")
    path = tmp_path / "made" / "data.npz"
    return path, benchmark.prepare(tmp_path, path, 5)


def test_both_sides_learn_from_the_last_items_that_are_not_held_out(
    prepared: tuple[Path, dict[str, int]],
) -> None:
    path, facts = prepared
    data = np.load(path)
    lengths = np.diff(data["ptr"])
    assert sorted(lengths) == [
        2,
        2,
        3,
        4,
        5,
        6,
        6,
        6,
    ]  # of two items none is held out; of three, one is left alone
    assert facts == {"histories": 8, "positions": int(lengths.sum()) - 8}
    assert sorted(np.diff(data["known_ptr"])) == [2, 3, 4, 5, 5, 5, 5, 5]


@pytest.mark.parametrize("negatives", [None, 3])
def test_an_epoch_and_an_evaluation_are_timed(
    prepared: tuple[Path, dict[str, int]], negatives: int | None
) -> None:
    from throughput.own_worker import Worker

    worker = Worker()
    worker.load(str(prepared[0]), 1)
    found = worker.epoch(length=5, width=8, inner=16, batch=3, negatives=negatives)
    assert all(found[what][unit] > 0 for what in ("train", "evaluate") for unit in ("cpu", "wall"))


def test_ratios_are_taken_within_rounds(tmp_path: Path) -> None:
    import rearec_speed as benchmark
    from engine.log import Log

    log = Log(tmp_path / "log.jsonl")
    for turn, (ours, peer) in enumerate([(1.0, 2.0), (2.0, 8.0), (4.0, 12.0)]):
        for engine, cpu in (("ours", ours), ("peer", peer)):
            clock = {"cpu": cpu, "wall": 9.0}
            log.add(
                f"d/5/all items/{turn}/{engine}", data="d", length=5, loss="all items", engine=engine, histories=1234,
                positions=9, train=clock, evaluate={"cpu": 1.0, "wall": 1.0},
            )  # fmt: skip
    log.add(
        "d/5/all items/3/ours", data="d", length=5, loss="all items", engine="ours", histories=1234, train={}
    )
    line = benchmark.table(log).splitlines()[2]
    assert line == "| d | 1,234 | 5 | all items | 2.0 | 3.0 (2.0–4.0) | 1.0 | 1.0 (1.0–1.0) |"

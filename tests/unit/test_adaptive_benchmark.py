"""The benchmark of adaptive attacks: a whole small run behind a retriever, the attacker's choice, and the verdicts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from defending.adapting import ITEMS, SEED, Adapting, ranks_key
from defending.held import best_of_all, by_attack, held, interval, said
from defending.plots import draw
from defending.rows import ADAPTIVE, ATTACKS, Adaptive
from engine.log import Log

from defences.change import Change
from defences.detectors.schema import Schema
from defences.options import Wrapper
from defences.through import through
from retrievers.bm25 import BM25
from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.protocols import Context, Stage
from testbed.registry import installed
from testbed.statistics import Interval
from testbed.types import Slate


class Unchanged(Change):
    """Leaves out every listing that is not as it was."""

    def __init__(self, catalog: Catalog) -> None:
        self.known = {item: catalog.fields(item) for item in catalog.ids}

    def joined(self, context: Context, slate: Slate, answers: Sequence[Slate]) -> Slate:
        """Without what has changed."""
        kept = [one for one in answers[0].listings if one.fields == self.known[one.item_id]]
        return Slate(tuple(kept))


class Closed(Wrapper):
    """A defence that nothing gets through."""

    def build(self, catalog: Catalog, env: Environment) -> Stage:
        """The stage behind it."""
        return through(self.over.build(catalog, env), Unchanged(catalog))


SMALL = {
    "none": Adaptive(BM25(k=10), "none", 16, ("hill_climb",)),
    "schema": Adaptive(Schema(over=BM25(k=10)), "none", 16, ("hill_climb",)),
    "closed": Adaptive(Closed(over=BM25(k=10)), "none", 16, ("hill_climb",)),
}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    found = Log(tmp_path_factory.mktemp("adaptive") / "log.jsonl")
    for name in SMALL:
        Adapting(found, Environment(), SMALL).run(name)
    return found


def test_a_small_run_goes_on_from_its_log(log: Log) -> None:
    before = log.path.read_bytes()
    for name in SMALL:
        Adapting(Log(log.path), Environment(), SMALL).run(name)
    assert log.path.read_bytes() == before
    table = best_of_all(log, SMALL)
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == list(SMALL)
    assert by_attack(log, SMALL).count("\n") == len(SMALL) + 1


def test_the_picture_repeats_byte_for_byte(log: Log, tmp_path: Path) -> None:
    first, second = tmp_path / "one.svg", tmp_path / "two.svg"
    assert draw(log, SMALL, first)
    assert draw(log, SMALL, second)
    assert first.read_bytes() == second.read_bytes()
    assert not draw(Log(tmp_path / "none.jsonl"), SMALL, tmp_path / "none.svg")


def test_without_a_defence_nothing_is_taken(log: Log) -> None:
    bare = held(log, "none", SMALL["none"], ("hill_climb",))
    assert bare is not None
    assert np.array_equal(bare.gain("through"), bare.undefended)


def test_behind_a_defence_that_nothing_gets_through_nothing_is_gained(log: Log) -> None:
    closed = held(log, "closed", SMALL["closed"], ("hill_climb",))
    assert closed is not None
    assert closed.ranks["clean"].any()
    for arm in ("random", "without", "through"):
        assert not closed.ranks[arm].any()
        assert np.array_equal(closed.gain(arm), closed.gain("random"))


def test_of_several_attacks_the_one_with_the_least_loss_counts_whatever_it_ranks(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    rows = {"bare": Adaptive(BM25(k=10), "bare", 8, ("injection", "gcg"))}
    for item in ITEMS:
        log.add(f"random/bare/scores/16/{item}/{SEED}/8", text="chance")
        log.add(f"attack/bare/injection/{item}/{SEED}/8", text="better", objective=1.0, queries=8)
        log.add(f"attack/bare/gcg/{item}/{SEED}/8", text="worse", objective=2.0, queries=4)
        for text, rank in {"": 3, "chance": 3, "better": None, "worse": 1}.items():
            log.add(ranks_key("bare", item, text), ranks=[rank, rank])
    one = held(log, "bare", rows["bare"], rows["bare"].attacks)
    assert one is not None
    assert one.queries == 6
    assert not one.ranks["through"].any()
    assert np.allclose(one.gain("through"), -0.5)
    other = held(log, "bare", rows["bare"], ("gcg",))
    assert other is not None
    assert np.allclose(other.gain("through"), 0.5)
    assert held(log, "bare", rows["bare"], ("hill_climb",)) is None


@pytest.mark.parametrize(
    ("more", "less", "word"),
    [
        ((0.1, 0.5), (-0.2, 0.2), "**beaten**"),
        ((0.1, 0.5), (-0.4, -0.1), "takes some"),
        ((-0.1, 0.2), (-0.4, -0.1), "**holds**"),
        ((-0.1, 0.2), (-0.4, 0.1), "undecided"),
        ((None, None), (None, None), "undecided"),
    ],
)
def test_verdicts(more: tuple[float, float], less: tuple[float, float], word: str) -> None:
    nothing, gained = Interval(0, -0.1, 0.2), Interval(0, 0.1, 0.2)
    rest = Interval(0, *more), Interval(0, *less)
    assert said(nothing, gained, *rest) == word
    assert said(nothing, nothing, *rest) in ("**holds**", "undecided")
    assert said(gained, gained, *rest) == "**random text wins**"


def test_intervals_are_over_targets_and_requests() -> None:
    found = interval(np.array([[0.5, 0.4], [0.3, 0.6], [0.5, 0.2], [0.4, 0.4]]))
    assert found.over == ("targets", "requests")
    assert found.low is not None
    assert 0 < found.low < 0.41 < (found.high or 0)


def test_every_defence_has_a_row() -> None:
    there = {type(row.plugin).__name__ for row in ADAPTIVE.values()}
    stages = [installed().get("stages", name) for name in installed().names("stages")]
    every = {stage.__name__ for stage in stages if stage.__module__.startswith("defences.")}
    assert len(every) > 10
    assert every <= there
    assert {attack for row in ADAPTIVE.values() for attack in row.attacks} <= set(ATTACKS)

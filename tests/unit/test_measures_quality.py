"""Ranking quality is what ir-measures says it is."""

from __future__ import annotations

import math

import ir_measures
import numpy as np
import pytest

from testbed.measures import Level, Seen, parse
from testbed.measures.names import QUALITY


def _level(name: str) -> Level:
    measure = parse(name)
    assert isinstance(measure, Level)
    return measure


@pytest.mark.parametrize("name", [*QUALITY, "RR@5", "nDCG", "Rprec", "AP(rel=2)"])
def test_agrees_with_ir_measures(name: str) -> None:
    rng = np.random.default_rng(7)
    items = [f"i{n}" for n in range(15)]
    seen, qrels, run = [], [], []
    for row in range(30):
        grades = {item: int(rng.integers(0, 4)) for item in items[:12]}
        ranking = tuple(rng.permutation(items)[: rng.integers(1, 15)].tolist())
        seen.append(Seen(ranking, relevance=grades))
        qrels += [ir_measures.Qrel(f"q{row}", item, grade) for item, grade in grades.items()]
        run += [ir_measures.ScoredDoc(f"q{row}", item, -place) for place, item in enumerate(ranking)]
    measure = ir_measures.parse_measure(name)
    expected = {metric.query_id: metric.value for metric in ir_measures.iter_calc([measure], qrels, run)}
    assert _level(name).of(seen).tolist() == pytest.approx([expected[f"q{row}"] for row in range(30)])


def test_ties_cannot_arise_in_long_rankings() -> None:
    ranking = tuple(f"i{n}" for n in range(5000))
    assert _level("RR").of([Seen(ranking, relevance={"i4999": 1})])[0] == pytest.approx(1 / 5000)


def test_ndcg_by_hand() -> None:
    """Grades 3, 0, 1 in this order: (3 + 1/2) / (3 + 1/log2(3))."""
    value = _level("nDCG@10").of([Seen(("a", "b", "c"), relevance={"a": 3, "b": 0, "c": 1})])[0]
    assert value == pytest.approx(3.5 / (3 + 1 / math.log2(3)))


def test_unlisted_items_are_absent_and_empty_rankings_score_nothing() -> None:
    seen = [Seen((), relevance={"a": 1}), Seen(("b",), relevance={"a": 1})]
    assert _level("nDCG@10").of(seen).tolist() == [0, 0]
    assert _level("RR").of(seen).tolist() == [0, 0]


def test_undefined_without_a_relevant_item() -> None:
    seen = [Seen(("a",)), Seen(("a",), relevance={}), Seen(("a",), relevance={"a": 0})]
    assert np.isnan(_level("nDCG@10").of(seen)).all()
    assert _level("nDCG@10").of([]).shape == (0,)


@pytest.mark.parametrize(
    ("name", "event"),
    [("Success@3", True), ("P@1", True), ("P@5", False), ("nDCG@10", False), ("RR", False)],
)
def test_what_is_0_or_1_is_an_event(name: str, event: bool) -> None:
    assert _level(name).binary is event

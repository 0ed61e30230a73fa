"""Hand-computed values; an unlisted target is its own worst level."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from testbed.measures import Change, Level, Paired, Seen, parse
from testbed.measures.exposure_taken import concentration, gini, taken
from testbed.measures.kendall import tau
from testbed.measures.order import position_bias, rank_variance, winning_slots

GRADES = {"a": 2, "b": 1, "c": 0, "d": 1}


def level(name: str, seen: Seen) -> float:
    measure = parse(name)
    assert isinstance(measure, Level)
    return float(measure.of([seen])[0])


def effect(
    name: str, before: Sequence[str], after: Sequence[str], target: str = "t", **more: object
) -> float:
    measure = parse(name)
    assert isinstance(measure, Level | Change | Paired)
    first, second = (Seen(tuple(ranking), target, **more) for ranking in (before, after))  # type: ignore[arg-type]
    return float(measure.effect([first], [second])[0])


@pytest.mark.parametrize(
    ("name", "third", "unlisted"),
    [
        ("top@1", 0, 0),
        ("top@3", 1, 0),
        ("exposure", 0.5, 0),
        ("exposure@3", 0.5, 0),
        ("exposure@2", 0, 0),
        ("target_RR", 1 / 3, 0),
        ("listed", 1, 0),
    ],
)
def test_levels(name: str, third: float, unlisted: float) -> None:
    assert level(name, Seen(("a", "b", "t"), "t")) == pytest.approx(third)
    assert level(name, Seen(("a", "b"), "t")) == unlisted
    assert level(name, Seen((), "t")) == unlisted


def test_margin() -> None:
    assert level("margin", Seen(("a", "t", "b"), "t", (-1.0, -3.0, -4.0))) == -2.0
    assert level("margin", Seen(("t", "a", "b"), "t", (-1.0, -3.0, None))) == 2.0
    for undefined in (
        Seen(("a",), "t", (-1.0,)),
        Seen(("t", "a"), "t"),
        Seen(("t",), "t", (-1.0,)),
        Seen(("t", "a"), "t", (None, -1.0)),
    ):
        assert math.isnan(level("margin", undefined))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("abt", "tab", {"promoted": 1, "demoted": 0, "unchanged": 0, "net": 1, "lift@1": 1, "lift@3": 0}),
        (
            "tab",
            "abt",
            {"promoted": 0, "demoted": 1, "unchanged": 0, "net": -1, "lift@1": -1, "exposure": -0.5},
        ),
        ("abt", "bat", {"promoted": 0, "demoted": 0, "unchanged": 1, "net": 0, "lift@1": 0}),
        ("ab", "abt", {"promoted": 1, "entered": 1, "dropped": 0, "net": 1, "lift@3": 1, "target_RR": 1 / 3}),
        ("abt", "ab", {"demoted": 1, "entered": 0, "dropped": 1, "net": -1, "lift@3": -1}),
        ("ab", "", {"promoted": 0, "demoted": 0, "unchanged": 1, "entered": 0, "dropped": 0, "net": 0}),
    ],
)
def test_movement(before: str, after: str, expected: dict[str, float]) -> None:
    for name, value in expected.items():
        assert effect(name, before, after) == pytest.approx(value), name


def test_nothing_depends_on_how_long_the_list_is_when_the_target_is_unlisted() -> None:
    """N + 1 would make these differ."""
    for name in ("exposure", "target_RR", "net", "lift@1"):
        assert effect(name, "ab", "tab") == effect(name, "abcdefgh", "tab")


def test_harm_is_zero_when_the_target_alone_moves() -> None:
    assert effect("harm", "abtcd", "tabcd", relevance={**GRADES, "t": 2}) == pytest.approx(0)
    assert effect("kendall", "abtcd", "tabcd") == 1


def test_harm_by_hand() -> None:
    """Others a(2) b(1): ideal 2 + 1/log2(3); reversed 1 + 2/log2(3)."""
    ideal, found = 2 + 1 / math.log2(3), 1 + 2 / math.log2(3)
    assert effect("harm", "tab", "tba", relevance={"a": 2, "b": 1, "t": 2}) == pytest.approx(
        1 - found / ideal
    )
    assert effect("harm", "tba", "tab", relevance={"a": 2, "b": 1}) == pytest.approx(found / ideal - 1)


def test_harm_is_undefined_when_only_the_target_is_relevant() -> None:
    assert math.isnan(effect("harm", "tab", "tba", relevance={"t": 2}))
    assert math.isnan(effect("harm", "tab", "tba"))


def test_utility_loss_by_hand() -> None:
    """An irrelevant target goes from last to first over one relevant item: 1 → 1/log2(3)."""
    assert effect("utility_loss", "at", "ta", relevance={"a": 1}) == pytest.approx(1 - 1 / math.log2(3))
    assert effect("utility_loss", "at", "ta", relevance={"t": 1}) == pytest.approx(1 / math.log2(3) - 1)


def test_overlap_by_hand() -> None:
    assert effect("overlap@3", "abtcd", "tabcd") == 1
    assert effect("overlap@2", "abtcd", "tabcd") == 0.5
    assert effect("overlap", "ab", "abtcd") == 0.4
    assert effect("overlap@1", "a", "") == 0
    assert math.isnan(effect("overlap", "", ""))


def test_kendall() -> None:
    assert tau(tuple("abcd"), tuple("dcba")) == -1
    assert tau(tuple("abcd"), tuple("abdc")) == pytest.approx(1 - 2 / 6)
    assert tau(tuple("abx"), tuple("yba")) == -1
    assert math.isnan(tau(("a",), ("a",)))


def test_kendall_agrees_with_scipy() -> None:
    from scipy.stats import kendalltau

    rng = np.random.default_rng(0)
    for _ in range(20):
        order = rng.permutation(12)
        items = tuple(str(n) for n in range(12))
        after = tuple(str(n) for n in order)
        expected = kendalltau(np.arange(12), [after.index(item) for item in items]).statistic
        assert tau(items, after) == pytest.approx(expected)


def test_exposure_taken() -> None:
    before, after = Seen(("a", "b", "t"), "t"), Seen(("t", "a", "b"), "t")
    assert taken(before, after) == pytest.approx({"a": 1 - 1 / math.log2(3), "b": 1 / math.log2(3) - 0.5})
    assert effect("exposure_taken", "abt", "tab") == pytest.approx(effect("exposure", "abt", "tab"))
    assert effect("exposure_taken", "ab", "") == pytest.approx(1 + 1 / math.log2(3))


def test_concentration_of_losses() -> None:
    assert gini([1, 1, 1, 1]) == 0
    assert gini([0, 0, 0, 1]) == 0.75
    assert math.isnan(gini([0, 0]))
    assert math.isnan(gini([]))
    who, most, spread = concentration({"a": 0.5, "b": -0.2, "c": 0.0})
    assert (who, most, spread) == ("a", 0.5, pytest.approx(2 / 3))
    assert concentration({})[0] is None


def test_violation() -> None:
    seen = Seen(("a", "b"), "t", violating=frozenset({"b"}))
    assert level("violation@1", seen) == 0
    assert level("violation@2", seen) == 1
    assert level("violation@1", Seen((), "t", violating=frozenset({"b"}))) == 0
    assert math.isnan(level("violation@1", Seen(("a",), "t")))


def test_a_reader_that_always_picks_slot_one_has_full_position_bias_and_no_gain() -> None:
    rng = np.random.default_rng(0)
    pools = [tuple(rng.permutation(list("abcdet")).tolist()) for _ in range(24)]
    assert position_bias(winning_slots(pools, pools)) == pytest.approx(1)
    for name in ("lift@1", "net", "exposure"):
        measure = parse(name)
        assert isinstance(measure, Level | Change | Paired)
        seen = [Seen(pool, "t") for pool in pools]
        assert not measure.effect(seen, seen).any()


def test_a_reader_that_ignores_slots_has_about_no_position_bias() -> None:
    rng = np.random.default_rng(1)
    pools = [tuple(rng.permutation(list("abcdet")).tolist()) for _ in range(2000)]
    assert position_bias(winning_slots([("a", "b")] * 2000, pools)) < 0.05


def test_position_bias_is_the_share_of_choices_that_the_slot_decides() -> None:
    rng = np.random.default_rng(2)
    pools = [tuple(rng.permutation(list("abcdet")).tolist()) for _ in range(4000)]
    rankings = [(pool[0],) if rng.random() < 0.4 else ("a",) for pool in pools]
    assert position_bias(winning_slots(rankings, pools)) == pytest.approx(0.4, abs=0.04)


def test_position_bias_without_evidence() -> None:
    assert math.isnan(position_bias([]))
    assert math.isnan(position_bias([(0, 5)]))
    assert math.isnan(position_bias([(0, 1), (0, 1)]))
    assert winning_slots([(), ("x",)], [("a",), ("a",)]) == []


def test_rank_variance() -> None:
    assert rank_variance([[1, 3], [2, 2]]) == 1
    assert rank_variance([[1, 3, None], [None, None]]) == 2
    assert math.isnan(rank_variance([[None, 1]]))

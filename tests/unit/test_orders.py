"""Presentation orders: shuffles that pair across pools, and slots that cover the pool."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.orders import arrange, slots
from testbed.types import Listing, Situation, Slate

IDS = [f"i{n}" for n in range(12)]


def slate_of(ids: list[str]) -> Slate:
    return Slate(tuple(Listing(item_id, {}) for item_id in ids))


@given(st.lists(st.sampled_from(IDS), unique=True), st.integers(0, 10**6), st.integers(0, 15))
def test_a_permutation_with_the_target_in_its_slot(ids: list[str], order: int, slot: int) -> None:
    arranged = arrange(slate_of(ids), Situation("r", order, slot), "i3").ids
    assert sorted(arranged) == sorted(ids)
    if "i3" in ids:
        assert list(arranged).index("i3") == min(slot, len(ids) - 1)


@given(st.permutations(IDS), st.integers(0, 100), st.sampled_from(IDS))
def test_the_rest_keeps_its_order_whoever_is_missing(ids: list[str], order: int, missing: str) -> None:
    situation = Situation("r", order, None)
    whole = arrange(slate_of(ids), situation, None).ids
    part = arrange(slate_of([item for item in ids if item != missing]), situation, None).ids
    assert [item for item in whole if item != missing] == list(part)


def test_orders_differ_and_never_change() -> None:

    assert len({tuple(arrange(slate_of(IDS), Situation("r", order), None).ids) for order in range(50)}) == 50


def test_every_item_comes_first_about_equally_often() -> None:
    first = Counter(arrange(slate_of(IDS[:4]), Situation("r", order), None).ids[0] for order in range(400))
    assert set(first) == set(IDS[:4])
    assert min(first.values()) > 60


@given(st.integers(1, 60), st.integers(1, 20))
def test_spread_slots_are_stratified(count: int, pool: int) -> None:
    found = Counter(slots(count, pool))
    assert set(found) <= set(range(pool))
    assert len(found) == min(count, pool)
    assert max(found.values()) - min(found.get(slot, 0) for slot in range(pool)) <= 1


@given(st.integers(1, 60), st.integers(1, 20))
def test_late_slots_are_in_the_last_third(count: int, pool: int) -> None:
    found = slots(count, pool, "late")
    assert len(found) == count
    assert all(pool - max(1, pool // 3) <= slot < pool for slot in found)


def test_listed_slots_go_round() -> None:
    assert slots(5, 10, (2, 7)) == (2, 7, 2, 7, 2)


def test_too_small_a_pool_takes_the_last_place() -> None:
    assert arrange(slate_of(["a", "t"]), Situation("r", 0, 9), "t").ids == ("a", "t")


@pytest.mark.parametrize("target", ["nobody", None])
def test_no_target_no_slot(target: str | None) -> None:
    plain = arrange(slate_of(IDS), Situation("r", 4), None).ids
    assert arrange(slate_of(IDS), Situation("r", 4, 0), target).ids == plain

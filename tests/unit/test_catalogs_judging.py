"""The rule that turns facts into grades."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from catalogs.judging import Extreme, grade, points
from testbed.types import Constraint

PRICES = [{"price": price} for price in (10, 20, 20, 40)]


def test_points_are_mid_ranks_times_two() -> None:
    assert points(PRICES, Extreme("price", "high")) == [0, 3, 3, 6]
    assert points(PRICES, Extreme("price", "low")) == [6, 3, 3, 0]


def test_a_missing_number_is_worse_than_any() -> None:
    items = [{"battery": 8}, {}, {"battery": 30}, {}]
    assert points(items, Extreme("battery", "high")) == [4, 0, 6, 0]
    assert points(items, Extreme("battery", "low")) == [6, 0, 4, 0]


def test_a_soft_wish_gives_all_or_nothing() -> None:
    items = [{"tags": "a b"}, {"tags": "c"}, {}]
    assert points(items, Constraint("tags", "contains", "a")) == [4, 0, 0]


def test_thirds_of_the_span_make_grades() -> None:
    items = [{"n": value} for value in range(7)]
    assert grade(items, [], [Extreme("n", "high")]) == [1, 1, 2, 2, 3, 3, 3]


def test_a_broken_constraint_is_grade_0_and_leaves_the_comparison() -> None:
    grades = grade(PRICES, [Constraint("price", "<=", 20)], [Extreme("price", "high")])
    assert grades == [1, 3, 3, 0]


def test_no_preference_and_single_items_are_top() -> None:
    assert grade(PRICES, [Constraint("price", ">=", 20)], []) == [0, 3, 3, 3]
    assert grade(PRICES, [Constraint("price", ">=", 30)], [Extreme("price", "low")]) == [0, 0, 0, 3]
    assert grade(PRICES, [Constraint("price", ">=", 99)], []) == [0, 0, 0, 0]


def test_a_preference_that_stands_twice_counts_twice() -> None:
    items = [{"price": 1, "rating": 1}, {"price": 2, "rating": 3}, {"price": 3, "rating": 2}]
    high, low = Extreme("rating", "high"), Extreme("price", "low")
    assert grade(items, [], [high, low]) == [2, 3, 1]
    assert grade(items, [], [high, low, low]) == [3, 3, 1]


items_strategy = st.lists(
    st.fixed_dictionaries(
        {"price": st.integers(0, 5)},
        optional={"rating": st.integers(0, 5), "tags": st.sampled_from(["a", "b a"])},
    ),
    min_size=1,
    max_size=8,
)
preferences_strategy = st.lists(
    st.sampled_from(
        [Extreme("price", "low"), Extreme("rating", "high"), Constraint("tags", "contains", "b")]
    ),
    max_size=4,
)


@given(items_strategy, preferences_strategy, st.randoms())
def test_grades_do_not_depend_on_the_order_of_items(items, preferences, random) -> None:
    wish = [Constraint("price", "<=", 3)]
    order = list(range(len(items)))
    random.shuffle(order)
    straight = grade(items, wish, preferences)
    assert grade([items[row] for row in order], wish, preferences) == [straight[row] for row in order]
    for row, item in enumerate(items):
        assert (straight[row] > 0) == (item["price"] <= 3)
        same = [straight[other] for other in range(len(items)) if items[other] == item]
        assert len(set(same)) == 1
    if any(straight):
        assert 3 in straight

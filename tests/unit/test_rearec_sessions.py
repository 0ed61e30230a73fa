"""Simulated sessions: seeded, by user, following latent preferences."""

from __future__ import annotations

import numpy as np

from catalogs.shipped import CoffeeMachines, Novels
from retrievers.rearec.data import leave_one_out
from retrievers.rearec.evaluation import ranks
from retrievers.rearec.floors import markov, popularity
from retrievers.rearec.sessions import simulated
from retrievers.shoppers import Facts, Taste
from retrievers.shoppers.visits import LONGEST, SHORTEST
from testbed.catalog import Catalog
from testbed.types import Item


def test_a_user_is_the_same_in_a_larger_simulation() -> None:
    catalog = Novels().load()
    few, many = simulated(catalog, 5, 0), simulated(catalog, 20, 0)
    assert [few.history(user).tolist() for user in range(5)] == [
        many.history(user).tolist() for user in range(5)
    ]
    other = simulated(catalog, 5, 1)
    assert [few.history(user).tolist() for user in range(5)] != [
        other.history(user).tolist() for user in range(5)
    ]
    assert set(many.lengths.tolist()) <= set(range(SHORTEST, LONGEST + 1))
    assert many.items == tuple(catalog.ids)
    assert many.texts[0].startswith(catalog.name_of(catalog.ids[0]))
    assert all(len(set(history := many.history(user).tolist())) == len(history) for user in range(20))
    later = simulated(catalog, 3, 0, first=17)
    assert later.users == ("u17", "u18", "u19")
    assert [later.history(row).tolist() for row in range(3)] == [
        many.history(user).tolist() for user in range(17, 20)
    ]


def test_sessions_leave_half_of_a_small_catalog() -> None:
    assert set(simulated(CoffeeMachines().load(), 50, 0).lengths.tolist()) == {4, 5}
    two = Catalog.of([Item(name, {"Name": name}, {"price": 1}) for name in "ab"], name="tests")
    assert simulated(two, 5, 0).lengths.tolist() == [2] * 5


def test_what_comes_next_depends_on_what_came_before() -> None:
    data = simulated(Novels().load(), 600, 0)
    split = leave_one_out(data)
    known, even = (
        ranks(make(split), data, split.test, history=True).ndcg(10).mean() for make in (markov, popularity)
    )
    assert known > 1.5 * even


def test_facts_by_hand() -> None:
    attributes = [
        {"price": 10, "tags": "red small", "new": True},
        {"price": 30, "tags": "red"},
        {"price": 20, "tags": "blue", "new": False},
    ]
    items = [Item(f"i{n}", {"Name": f"n{n}"}, facts) for n, facts in enumerate(attributes)]
    facts = Facts.of(Catalog.of(items, name="tests"))
    assert facts.levels.tolist() == [[-1], [1], [0]]
    assert facts.words.tolist() == [
        [0, 1, 0, 1, 1],
        [0, 0, 0, 1, 0],
        [1, 0, 1, 0, 0],
    ]
    assert facts.numbers == ("price",)
    assert facts.terms == ("not new", "new", "blue", "red", "small")
    assert np.allclose(np.linalg.norm(facts.vectors, axis=1), 1)


def test_a_taste_by_hand() -> None:
    facts = Facts(
        np.array([[-1.0, 0.0], [0.0, 1.0], [1.0, -1.0]]),
        np.array([[1.0], [0.0], [0.0]]),
        ("price", "weight"),
        ("red",),
    )
    cheap = Taste(
        np.array([2.0, 0.0]), np.array([False, False]), np.array([-1.0, 1.0]), np.zeros(2), np.array([0.0])
    )
    assert cheap.utility(facts).argsort().tolist() == [2, 1, 0]
    assert cheap.told(facts) == "low price"
    middling = Taste(
        np.array([1.0, 3.0]), np.array([True, True]), np.ones(2), np.array([0.1, 0.9]), np.array([0.5])
    )
    assert middling.utility(facts).argmax() == 1
    assert middling.told(facts) == "high weight, medium price; red"
    assert middling.told(facts, 1) == "high weight; red"
    assert Taste(np.zeros(2), np.zeros(2, bool), np.ones(2), np.zeros(2), np.array([-1.0])).told(facts) == ""

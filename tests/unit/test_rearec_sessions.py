"""Simulated sessions: seeded, by user, following latent preferences."""

from __future__ import annotations

import numpy as np

from catalogs.shipped import Novels
from retrievers.rearec.data import leave_one_out
from retrievers.rearec.evaluation import ranks
from retrievers.rearec.floors import markov, popularity
from retrievers.rearec.sessions import LONGEST, SHORTEST, Facts, simulated
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
    assert all(
        (np.diff(many.history(user)) != 0).all() for user in range(20)
    )  # nobody looks at an item twice in a row


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
    ]  # false true blue red small
    assert np.allclose(np.linalg.norm(facts.vectors, axis=1), 1)

"""What simulated shoppers say, and catalogs whose requests they make."""

from __future__ import annotations

import numpy as np
import pytest

from catalogs.joined import Joined
from catalogs.shipped import CoffeeMachines, Headphones, Novels
from retrievers.goals.lessons import lessons
from retrievers.goals.offers import Offers
from retrievers.shoppers.catalogs import Conversations
from retrievers.shoppers.talk import NOTHING, Offer, Wish, acceptance, conversation, needs_of, offer
from testbed.errors import CatalogError, ScenarioError
from testbed.scenario import loads
from testbed.testing.toy_world import ToyCatalog
from testbed.types import Constraint


def test_a_conversation_ends_with_what_was_wished_for() -> None:
    wish = Wish.told("tents", "low price, high rating; travel")
    assert wish.needs == ("low price", "high rating", "travel")
    turns = conversation(
        wish, [Offer("How about A?", False), Offer("How about B?", True)], np.random.default_rng(0)
    )
    assert turns[3] == "How about A?"
    assert turns[5] == "How about B?"
    assert "low price, high rating and travel" in turns[6].lower()
    assert "low price" not in turns[4]
    assert len(turns) == 9


def test_wishes_in_words() -> None:
    wishes = {
        Constraint("price", "<=", 150): "a price of at most 150",
        Constraint("rating", ">=", 4.5): "a rating of at least 4.5",
        Constraint("noise_cancelling", "==", True): "noise cancelling",
        Constraint("wireless", "!=", True): "no wireless",
        Constraint("tags", "contains", "travel"): "travel",
        Constraint("form", "!=", "in-ear"): "no in-ear",
    }
    assert needs_of(tuple(wishes)) == tuple(wishes.values())
    assert Wish("x").said == NOTHING
    assert "a quiet one" in acceptance(Wish("x", "a quiet one."), np.random.default_rng(1))
    assert offer({"Name": "Pico", "Price": "$2."}, "Name") == "How about Pico? Price: $2."
    assert offer({}, "Name") == "How about this one?"


def test_conversations_add_what_is_missing_and_keep_the_rest() -> None:
    plain = CoffeeMachines().load()
    found = Conversations(over=CoffeeMachines(), histories=True).load()
    assert [one.text for one in found.requests] == [one.text for one in plain.requests]
    assert found.judgements == plain.judgements
    for one in found.requests:
        assert len(one.dialogue) == 2
        assert "coffee machines" in one.dialogue[0]
        assert one.goal.endswith("it.")
        assert 2 <= len(one.history) == len(set(one.history))
        assert all(found.judgements[one.id].get(item, 0) < 3 for item in one.history)
    again = Conversations(over=CoffeeMachines(requests=(found.requests[3].id,))).load()
    assert again.requests[0].goal == found.requests[3].goal
    other = Conversations(over=CoffeeMachines(), seed=1).load()
    assert [one.goal for one in other.requests] != [one.goal for one in found.requests]
    assert Conversations(over=Conversations(over=CoffeeMachines()), seed=1).load().requests[0].goal == (
        Conversations(over=CoffeeMachines()).load().requests[0].goal
    )


def test_histories_need_attributes() -> None:
    class Bare(ToyCatalog):
        def load(self):  # type: ignore[no-untyped-def]
            from dataclasses import replace

            return replace(super().load(), attributes=())

    with pytest.raises(CatalogError, match="leave histories out"):
        Conversations(over=Bare(), histories=True).load()


def test_joined_catalogs_keep_grades_and_tell_ids_apart() -> None:
    parts = (CoffeeMachines(), Conversations(over=Headphones(), histories=True), Novels())
    found = Joined(catalogs=parts, name="mall").load()
    singles = [part.load() for part in parts]
    assert len(found) == sum(map(len, singles)) == 100
    assert len(found.requests) == sum(len(one.requests) for one in singles)
    assert len({found.name_of(one).casefold() for one in found.ids}) == 100
    second = found.request("2:r01")
    assert second.history
    assert set(second.history) <= set(found.ids)
    assert found.judgements["2:r01"] == singles[1].judgements["r01"]
    novel = singles[2].ids[0]
    assert found.name_of(novel) == singles[2].name_of(novel)
    assert "Title" not in found.columns
    some = Joined(catalogs=parts, asked=(2,)).load()
    assert len(some) == 100
    assert [one.id for one in some.requests] == [one.id for one in singles[1].requests]
    joined = "catalog:\n  use: joined\n  catalogs: [{use: coffee_machines}, {use: novels}]\n  asked: [1, 4]\n"
    with pytest.raises(ScenarioError) as caught:
        loads(f"version: 1\nname: mall\n{joined}stack: [{{use: bm25}}]\n", file="mall.yaml")
    assert str(caught.value) == "mall.yaml:6:10: catalog.asked: there is no catalog 4; there are 2"


def test_lessons_are_dialogues_to_learn_from() -> None:
    known = CoffeeMachines().load()
    found = lessons(Offers(known, tuple(known.columns)))
    assert found == lessons(Offers(known, tuple(known.columns)))
    assert all(len(turns) >= 6 and all(turns) for turns in found)
    assert sum("Aurelia Grand" in turn for turns in found for turn in turns) > 5

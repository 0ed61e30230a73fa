"""Reciprocal rank fusion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from retrievers.fuse import Fuse, ReciprocalRankFusion
from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.protocols import Context
from testbed.types import Item, Listing, Request, Situation, Slate

CONTEXT = Context(Request("r", "x"), Situation("r", 0), None, 0)
rankings = st.lists(st.permutations("abcdef").map(lambda ids: ids[:4]), min_size=2, max_size=4)


def slate_of(ids: str | list[str], text: str = "t") -> Slate:
    return Slate(tuple(Listing(item_id, {"Name": text}, 0.0) for item_id in ids))


def test_worked_example() -> None:
    """a: 1/61 + 1/62; b: 1/62 + 1/61; c: 1/63. The tie of a and b goes by id."""
    fused = Fuse().build(Catalog.of([Item("a", {"Name": "x"})]), Environment())
    slate = fused(CONTEXT, slate_of("abc"), slate_of("ba"))
    assert list(slate.ids) == ["a", "b", "c"]
    scores = [listing.score for listing in slate]
    assert scores == pytest.approx([1 / 61 + 1 / 62, 1 / 62 + 1 / 61, 1 / 63])


@given(rankings)
def test_a_duplicate_free_union_best_first(ids: list[list[str]]) -> None:
    slates = [slate_of(ranking) for ranking in ids]
    fused = ReciprocalRankFusion()(CONTEXT, *slates)
    assert sorted(fused.ids) == sorted({item_id for ranking in ids for item_id in ranking})
    keys = [(-(listing.score or 0.0), listing.item_id) for listing in fused]
    assert keys == sorted(keys)
    assert list(ReciprocalRankFusion(keep=2)(CONTEXT, *slates).ids) == list(fused.ids)[:2]


def test_agreement_is_kept() -> None:
    assert list(ReciprocalRankFusion()(CONTEXT, slate_of("dcba"), slate_of("dcba")).ids) == list("dcba")


def test_the_first_slate_decides_how_a_listing_is_shown() -> None:
    fused = ReciprocalRankFusion()(CONTEXT, slate_of("a", "first"), slate_of("ba", "second"))
    assert {listing.item_id: listing.fields["Name"] for listing in fused} == {"a": "first", "b": "second"}


def test_a_small_constant_weighs_the_first_rank_more() -> None:
    slates = (slate_of("abcdef"), slate_of("bacdef"), slate_of("cbadef"), slate_of("bcadef"))
    lists = (slate_of("xyzb"), slate_of("cdb"), slate_of("efb"))
    assert ReciprocalRankFusion(constant=0.001)(CONTEXT, *lists).ids[0] != "b"
    assert ReciprocalRankFusion(constant=60)(CONTEXT, *lists).ids[0] == "b"
    assert ReciprocalRankFusion()(CONTEXT, *slates).ids[0] == "b"


def test_empty_slates_add_nothing() -> None:
    assert list(ReciprocalRankFusion()(CONTEXT, slate_of(""), slate_of("ab")).ids) == ["a", "b"]


def test_options() -> None:
    assert Fuse.inputs[0] == 2
    with pytest.raises(ValidationError, match="greater than 0"):
        Fuse(constant=0)
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Fuse(keep=0)

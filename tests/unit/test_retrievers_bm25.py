"""BM25: against bm25s, under edits, on slates of earlier stages."""

from __future__ import annotations

import subprocess
import sys

import bm25s
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retrievers.bm25 import BM25
from retrievers.lexical import LexicalRetriever
from retrievers.postings import tokenized
from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.errors import UserError
from testbed.protocols import Context, Editable, Probe, Scorable, Scores
from testbed.types import Intervention, Item, Listing, Request, Situation, Slate, TextEdit

ENV = Environment(device="cpu")
WORDS = ["coffee", "grinder", "steel", "quiet", "cheap", "machine", "office", "the", "x"]
texts = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
catalogs = st.lists(st.tuples(texts, texts), min_size=1, max_size=7).map(
    lambda rows: catalog_of([{"Name": name, "Description": text} for name, text in rows])
)


def catalog_of(rows: list[dict[str, str]]) -> Catalog:
    return Catalog.of([Item(f"i{(7 * n) % 11:02}", fields) for n, fields in enumerate(rows)], name="tests")


def context(text: str, target: str | None = None) -> Context:
    return Context(Request("r", text), Situation("r", 0), target, 0)


def edited(catalog: Catalog, intervention: Intervention) -> Catalog:
    """The catalog written anew with the edits in it."""
    items = [Item(listing.item_id, listing.fields) for listing in catalog.source(intervention)]
    return Catalog.of(items, name=catalog.name)


def pairs(slate: Slate) -> list[tuple[str, float | None]]:
    return [(listing.item_id, listing.score) for listing in slate]


@pytest.fixture
def shop() -> Catalog:
    return catalog_of(
        [
            {"Name": "Alpha", "Description": "quiet coffee machine, coffee in a minute"},
            {"Name": "Beta", "Description": "steel grinder"},
            {"Name": "Gamma", "Description": "cheap coffee machine"},
            {"Name": "Delta", "Description": "office chair"},
        ]
    )


@pytest.mark.parametrize("method", ["lucene", "robertson", "atire"])
@pytest.mark.parametrize("query", ["quiet coffee machine", "coffee coffee steel", "nothing known"])
def test_scores_are_those_of_bm25s(shop: Catalog, method: str, query: str) -> None:
    stage = BM25(method=method, k1=1.2, b=0.6).build(shop, ENV)  # type: ignore[arg-type]
    ours = stage.scores(context(query), shop.source())
    documents = ["\n".join(listing.fields.values()) for listing in shop.source()]
    oracle = bm25s.BM25(method=method, k1=1.2, b=0.6, dtype="float64")
    oracle.index(tokenized(documents, True), show_progress=False)
    known = [word for word in tokenized([query], True)[0] if word in oracle.vocab_dict]
    theirs = oracle.get_scores(known) if known else np.zeros(len(shop))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@given(catalogs, texts, st.data())
def test_editing_equals_rebuilding(catalog: Catalog, query: str, data: st.DataObject) -> None:
    edit = st.builds(
        TextEdit,
        st.sampled_from(list(catalog.ids)),
        st.sampled_from(list(catalog.columns)),
        st.one_of(texts, st.just("unheard words")),
        st.sampled_from(["append", "prepend", "replace"]),
    )
    intervention = tuple(data.draw(st.lists(edit, max_size=3)))
    plugin = BM25(k=data.draw(st.integers(1, 8)), method=data.draw(st.sampled_from(["lucene", "atire"])))
    updated = plugin.build(catalog, ENV).with_edits(intervention)
    rebuilt_catalog = edited(catalog, intervention)
    rebuilt = plugin.build(rebuilt_catalog, ENV)
    assert pairs(updated(context(query), catalog.source(intervention))) == pairs(
        rebuilt(context(query), rebuilt_catalog.source())
    )


@given(catalogs, texts, st.integers(1, 9))
def test_a_ranking_is_a_sorted_subset(catalog: Catalog, query: str, k: int) -> None:
    slate = BM25(k=k).build(catalog, ENV)(context(query), catalog.source())
    assert len(slate) == min(k, len(catalog))
    assert len(set(slate.ids)) == len(slate)
    keys = [(-(listing.score or 0.0), listing.item_id) for listing in slate]
    assert keys == sorted(keys)
    everything = BM25(k=100).build(catalog, ENV)(context(query), catalog.source())
    assert list(slate.ids) == list(everything.ids)[:k]


def test_the_better_match_is_first_and_ties_go_by_id(shop: Catalog) -> None:
    slate = BM25(k=4).build(shop, ENV)(context("quiet coffee"), shop.source())
    names = [listing.fields["Name"] for listing in slate]
    assert names[:2] == ["Alpha", "Gamma"]
    assert [listing.item_id for listing in list(slate)[2:]] == sorted(list(slate.ids)[2:])


@pytest.mark.parametrize("query", ["", "  ", "the", "?!"])
def test_an_empty_query_ranks_by_id(shop: Catalog, query: str) -> None:
    slate = BM25().build(shop, ENV)(context(query), shop.source())
    assert list(slate.ids) == sorted(shop.ids)
    assert {listing.score for listing in slate} == {0.0}


def test_an_empty_catalog_text(shop: Catalog) -> None:
    blank = catalog_of([{"Name": "", "Description": ""}, {"Name": "", "Description": "the"}])
    slate = BM25().build(blank, ENV)(context("coffee"), blank.source())
    assert list(slate.ids) == sorted(blank.ids)


def test_the_dialogue_is_searched_too(shop: Catalog) -> None:
    request = Request("r", "please", dialogue=("I need a grinder",))
    slate = BM25(k=1).build(shop, ENV)(Context(request, Situation("r", 0), None, 0), shop.source())
    assert [listing.fields["Name"] for listing in slate] == ["Beta"]


def test_only_the_chosen_fields_are_searched(shop: Catalog) -> None:
    stage = BM25(k=1, fields=("Name",)).build(shop, ENV)
    assert [item.fields["Name"] for item in stage(context("delta coffee"), shop.source())] == ["Delta"]


def test_unknown_fields_are_refused(shop: Catalog) -> None:
    with pytest.raises(UserError) as caught:
        BM25(fields=("Descripton",)).build(shop, ENV)
    assert str(caught.value) == (
        "stage bm25: fields: catalog 'tests' has no field 'Descripton'; did you mean 'Description'?"
    )


def test_edits_are_handed_on_and_the_stage_stays_as_it_was(shop: Catalog) -> None:
    stage = BM25(k=1).build(shop, ENV)
    before = pairs(stage(context("grinder"), shop.source()))
    intervention = (TextEdit(shop.ids[3], "Description", "grinder grinder grinder"),)
    slate = stage.with_edits(intervention)(context("grinder"), shop.source(intervention))
    assert [item.fields["Description"] for item in slate] == ["office chair grinder grinder grinder"]
    assert pairs(stage(context("grinder"), shop.source())) == before


def test_edits_in_the_source_count_even_without_with_edits(shop: Catalog) -> None:
    """A wrapper that is not editable must not hide an attack from the retriever inside it."""
    stage = BM25(k=2).build(shop, ENV)
    intervention = (TextEdit(shop.ids[3], "Description", "grinder grinder"),)
    source = shop.source(intervention)
    assert pairs(stage(context("grinder"), source)) == pairs(
        stage.with_edits(intervention)(context("grinder"), source)
    )


def test_a_slate_of_an_earlier_stage_is_ranked_by_what_it_shows(shop: Catalog) -> None:
    stage = BM25().build(shop, ENV)
    rewritten = Listing(shop.ids[3], {"Name": "Delta", "Description": "quiet coffee machine, coffee"}, 0.5)
    plain = shop.source().listings[1]
    slate = stage(context("quiet coffee"), Slate((plain, rewritten)))
    assert list(slate.ids) == [shop.ids[3], shop.ids[1]]
    assert slate.listings[0].fields is rewritten.fields
    scores = [listing.score for listing in slate]
    assert scores[0] not in (0.0, 0.5)
    assert scores[1] == 0.0


def test_a_defence_that_takes_the_edit_out_is_not_bypassed(shop: Catalog) -> None:
    intervention = (TextEdit(shop.ids[3], "Description", "coffee coffee coffee"),)
    stage = BM25().build(shop, ENV).with_edits(intervention)
    cleaned = Slate(tuple(shop.source()))
    assert pairs(stage(context("coffee"), cleaned)) == pairs(
        BM25().build(shop, ENV)(context("coffee"), shop.source())
    )


def test_a_lazy_catalog_is_not_walked(shop: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = BM25(k=2).build(shop, ENV)
    source = shop.source()
    monkeypatch.setattr(type(source.listings), "__iter__", lambda self: pytest.fail("walked"))
    assert len(stage(context("coffee"), source)) == 2


class Negated:
    """An objective: minus the target's score, or its gap to the best rival."""

    def __init__(self, rivals: bool) -> None:
        self.rivals = rivals

    def __call__(self, scores: Scores) -> torch.Tensor:
        own = scores.total[:, scores.target]
        if not self.rivals:
            assert scores.total.shape[1] == 1
            return -own
        others = scores.total.clone()
        others[:, scores.target] = -torch.inf
        return others.max(dim=1).values - own


@pytest.mark.parametrize("rivals", [False, True])
def test_losses_follow_the_scores(shop: Catalog, rivals: bool) -> None:
    stage = BM25(k=1).build(shop, ENV)
    target = shop.ids[3]
    slates = [
        shop.source((TextEdit(target, "Description", text),) if text else ())
        for text in ("", "coffee", "coffee coffee coffee quiet")
    ]
    losses, usage = stage.losses(Probe(context("quiet coffee", target), slates), Negated(rivals))
    assert losses.shape == (3,)
    assert losses.dtype == np.float64
    assert losses[0] > losses[1] > losses[2]
    assert usage.tokens == 0
    small = [Slate(tuple(slate)[2:]) for slate in slates]
    again, _ = stage.losses(Probe(context("quiet coffee", target), small), Negated(rivals))
    assert again.shape == (3,)
    gone, _ = stage.losses(Probe(context("quiet coffee", "i99"), slates), Negated(rivals))
    assert np.isinf(gone).all()
    none, _ = stage.losses(Probe(context("quiet coffee", target), []), Negated(rivals))
    assert none.shape == (0,)


def test_abilities(shop: Catalog) -> None:
    stage = BM25().build(shop, ENV)
    assert isinstance(stage, LexicalRetriever)
    assert isinstance(stage, Editable)
    assert isinstance(stage, Scorable)


def test_plug_ins_are_light_to_import() -> None:
    program = (
        "import sys, retrievers.bm25, retrievers.dense, retrievers.fuse\n"
        "heavy = {'torch', 'faiss', 'bm25s', 'sentence_transformers', 'numpy'} & set(sys.modules)\n"
        "print(sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""

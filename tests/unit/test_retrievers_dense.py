"""The dense retriever, with a small deterministic encoder; one test with the real one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrievers.dense import Dense
from retrievers.embeddings import embeddings_of
from retrievers.semantic import SemanticRetriever, cosines
from retrievers.shown import Documents
from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.errors import ModelError, UserError
from testbed.language.encoder import load_encoder
from testbed.protocols import Context, Editable, Probe, Scorable, Scores
from testbed.types import Intervention, Item, Listing, Request, Situation, Slate, TextEdit

WORDS = ["coffee", "grinder", "steel", "quiet", "cheap", "machine"]
texts = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
catalogs = st.lists(texts, min_size=1, max_size=9).map(lambda rows: catalog_of(rows))


class WordEncoder:
    """Sums one fixed random vector a word; counts how many texts it was given."""

    name, fingerprint, dimensions = "words", "f0", 16

    def __init__(self) -> None:
        self.seen = 0

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.seen += len(texts)
        return np.stack([self._vector(text) for text in texts]) if texts else np.zeros((0, 16), np.float32)

    def _vector(self, text: str) -> np.ndarray:
        total = np.full(16, 0.01)
        for word in text.lower().split():
            seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big")
            total += np.random.default_rng(seed).normal(size=16)
        return (total / np.linalg.norm(total)).astype(np.float32)


def catalog_of(rows: Sequence[str]) -> Catalog:
    items = [Item(f"i{(7 * n) % 11:02}", {"Name": f"p{n}", "Text": text}) for n, text in enumerate(rows)]
    return Catalog.of(items, name="tests")


def build(
    catalog: Catalog, cache: Path, k: int = 10, encoder: WordEncoder | None = None
) -> SemanticRetriever:
    options = Dense(k=k, fields=("Text",))
    return SemanticRetriever.over(catalog, options, ("Text",), encoder or WordEncoder(), cache)


def context(text: str, target: str | None = None) -> Context:
    return Context(Request("r", text), Situation("r", 0), target, 0)


def pairs(slate: Slate) -> list[tuple[str, float | None]]:
    return [(listing.item_id, listing.score) for listing in slate]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@given(catalog=catalogs, query=texts, k=st.integers(1, 10), data=st.data())
def test_editing_equals_rebuilding_and_a_full_sort(
    cache: Path, catalog: Catalog, query: str, k: int, data: st.DataObject
) -> None:
    edit = st.builds(TextEdit, st.sampled_from(list(catalog.ids)), st.just("Text"), texts)
    intervention: Intervention = tuple(data.draw(st.lists(edit, max_size=3)))
    updated = build(catalog, cache, k).with_edits(intervention)
    world = Catalog.of(
        [Item(one.item_id, {"Text": one.fields.get("Text", "")}) for one in catalog.source(intervention)]
    )
    rebuilt = build(world, cache, k)
    answer = pairs(updated(context(query), catalog.source(intervention)))
    assert answer == pairs(rebuilt(context(query), world.source()))
    scores = rebuilt.scores(context(query), world.source())
    everything = sorted(zip(world.ids, scores.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    assert answer == everything[:k]


def test_equal_texts_tie_by_id_however_many_there_are(cache: Path) -> None:
    catalog = catalog_of(["coffee"] * 11)
    slate = build(catalog, cache, k=3)(context("coffee"), catalog.source())
    assert list(slate.ids) == sorted(catalog.ids)[:3]


def test_only_edited_items_are_encoded_and_a_request_once(tmp_path: Path) -> None:
    encoder: Any = WordEncoder()
    catalog = catalog_of(WORDS)
    stage = build(catalog, tmp_path, encoder=encoder)
    assert encoder.seen == len(WORDS)
    moment = context("coffee")
    stage(moment, catalog.source())
    stage(moment, catalog.source())
    assert encoder.seen == len(WORDS) + 1
    intervention = (
        TextEdit(catalog.ids[0], "Text", "steel"),
        TextEdit(catalog.ids[1], "Name", "not searched"),
    )
    stage.with_edits(intervention)(moment, catalog.source(intervention))
    assert encoder.seen == len(WORDS) + 2


def test_embeddings_are_kept_by_content(tmp_path: Path) -> None:
    encoder: Any = WordEncoder()
    documents = Documents(catalog_of(WORDS), ("Text",))
    first = embeddings_of(documents, encoder, tmp_path)
    again = embeddings_of(documents, encoder, tmp_path)
    np.testing.assert_array_equal(first, again)
    assert encoder.seen == len(WORDS)
    embeddings_of(Documents(catalog_of(WORDS), ("Name",)), encoder, tmp_path)
    assert encoder.seen == 2 * len(WORDS)
    assert len(list((tmp_path / "embeddings").iterdir())) == 2


def test_a_damaged_embedding_file_is_made_again(tmp_path: Path) -> None:
    encoder: Any = WordEncoder()
    documents = Documents(catalog_of(WORDS), ("Text",))
    good = np.array(embeddings_of(documents, encoder, tmp_path))
    (file,) = (tmp_path / "embeddings").iterdir()
    for damage in (b"", file.read_bytes()[:-5], b"not an array"):
        file.unlink()
        file.write_bytes(damage)
        np.testing.assert_array_equal(embeddings_of(documents, encoder, tmp_path), good)


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    stage = build(catalog_of(WORDS), tmp_path / "file")
    assert len(stage(context("coffee"), stage.documents.catalog.source())) == len(WORDS)


def test_a_slate_of_an_earlier_stage_is_ranked_by_what_it_shows(cache: Path) -> None:
    catalog = catalog_of(WORDS)
    stage = build(catalog, cache)
    rewritten = Listing(catalog.ids[4], {"Name": "p4", "Text": "coffee"}, 9.0)
    slate = stage(context("coffee"), Slate((catalog.source().listings[2], rewritten)))
    assert list(slate.ids) == [catalog.ids[4], catalog.ids[2]]
    assert slate.listings[0].fields is rewritten.fields
    assert slate.listings[0].score == 1.0


def test_edits_in_the_source_count_even_without_with_edits(cache: Path) -> None:
    catalog = catalog_of(WORDS)
    stage = build(catalog, cache, k=2)
    intervention = (TextEdit(catalog.ids[3], "Text", "coffee", "replace"),)
    source = catalog.source(intervention)
    assert pairs(stage(context("coffee"), source)) == pairs(
        stage.with_edits(intervention)(context("coffee"), source)
    )
    assert catalog.ids[3] in stage(context("coffee"), source).ids


def test_an_empty_query_gives_a_full_ranking(cache: Path) -> None:
    catalog = catalog_of(WORDS)
    slate = build(catalog, cache)(context(""), catalog.source())
    assert sorted(slate.ids) == sorted(catalog.ids)


def test_cosines_do_not_depend_on_neighbours() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(5000, 33)).astype(np.float32)
    query = rng.normal(size=33).astype(np.float32)
    together = cosines(vectors, query)
    assert [cosines(vectors[row : row + 1], query)[0] for row in (0, 17, 4999)] == together[
        [0, 17, 4999]
    ].tolist()


def test_losses_are_the_cosines(cache: Path) -> None:
    catalog = catalog_of(WORDS)
    stage = build(catalog, cache)

    class Own:
        rivals = False

        def __call__(self, scores: Scores) -> object:
            return -scores.total[:, scores.target]

    target = catalog.ids[2]
    slates = [catalog.source((TextEdit(target, "Text", text, "replace"),)) for text in ("steel", "coffee")]
    losses, usage = stage.losses(Probe(context("coffee", target), slates), Own())
    assert losses[1] == -1.0
    assert losses[0] > losses[1]
    assert usage.tokens == 0
    assert isinstance(stage, Editable)
    assert isinstance(stage, Scorable)


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(UserError, match=r"stage dense: fields: catalog 'tests' has no field 'Tex'; did"):
        Dense(fields=("Tex",)).build(catalog_of(WORDS), Environment(device="cpu"))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("minilmm", r"no packaged encoder is called so; did you mean 'minilm'\?"),
        ("smollm2-135m", "encoder 'smollm2-135m': it is a language model; packaged: minilm"),
        ("./nowhere", r"encoder '\./nowhere': there is no such folder"),
    ],
)
def test_encoders_that_are_not_there(model: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_encoder(model, device="cpu")


@pytest.mark.slow
def test_the_packaged_encoder_loads_without_a_bar_of_its_own(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    load_encoder("minilm", device="cpu", cache=tmp_path)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_the_packaged_encoder_knows_what_coffee_is(tmp_path: Path) -> None:
    catalog = catalog_of(["an espresso maker", "a two-person tent", "noise cancelling headphones"])
    env = Environment(device="cpu", cache=tmp_path)
    plugin = Dense(k=2, fields=("Text",))
    stage = plugin.build(catalog, env)
    slate = stage(context("something that brews coffee"), catalog.source())
    assert slate.ids[0] == catalog.ids[0]
    assert env.encoder("minilm") is env.encoder("minilm")
    intervention = (TextEdit(catalog.ids[1], "Text", "It brews coffee, excellent coffee.", "replace"),)
    world = Catalog.of([Item(one.item_id, one.fields) for one in catalog.source(intervention)])
    updated = stage.with_edits(intervention).scores(context("coffee"), catalog.source(intervention))
    rebuilt = plugin.build(world, env).scores(context("coffee"), world.source())
    np.testing.assert_allclose(updated, rebuilt, atol=2e-5)

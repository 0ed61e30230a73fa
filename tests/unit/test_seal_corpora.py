"""SEAL on corpora of unusual size and order: one document, a hundred thousand, other orders, nothing asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrievers.seal import SEAL
from retrievers.seal.index import END, START, NgramIndex, load, save
from retrievers.seal.stage import GenerativeRetriever
from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.testing import tiny_language_model
from testbed.testing.texts import WORDS
from testbed.types import Item

DOCUMENTS = 100_000


@pytest.mark.slow
def test_a_hundred_thousand_documents_are_counted_continued_and_located(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    types = (3000 ** rng.random((DOCUMENTS, 12))).astype(np.int64)  # low ones are frequent
    lengths = rng.integers(0, 13, DOCUMENTS)
    corpus = [
        ([7, int(row) % 100] if row % 10 == 0 else None, types[row, : lengths[row]])
        for row in range(DOCUMENTS)
    ]
    save(NgramIndex.build(corpus), tmp_path / "large")
    index = load(tmp_path / "large")[0]
    assert index.documents == DOCUMENTS
    parts = [[START, *title, END, *body] if title else body for title, body in corpus]
    flat = np.concatenate([np.append(part, -3) for part in parts])
    starts = np.cumsum([0, *(len(part) + 1 for part in parts)])
    asked = [[START, 7, 30, END], [7, 30], [2999, 2999, 2999], [3000]]
    for depth in (1, 2, 3, 5):
        for row in rng.choice(np.flatnonzero(lengths >= depth), 12):
            begin = rng.integers(0, lengths[row] - depth + 1)
            asked.append(types[row, begin : begin + depth].tolist())
    beams = index.find(asked)
    children, places = index.children(beams), index.locate(beams)
    for number, ngram in enumerate(asked):
        room = len(flat) - len(ngram)
        there = np.flatnonzero(
            np.all([flat[at : at + room] == token for at, token in enumerate(ngram)], axis=0)
        )
        assert beams.counts[number] == len(there)
        documents = np.searchsorted(starts, there, side="right") - 1
        span = slice(places.ptr[number], places.ptr[number + 1])
        found = sorted(zip(places.documents[span].tolist(), places.offsets[span].tolist(), strict=True))
        assert found == list(zip(documents.tolist(), (there - starts[documents]).tolist(), strict=True))
        after = flat[there + len(ngram)]
        tokens, counts = np.unique(after[(after >= 0) | (after == END)], return_counts=True)
        span = slice(children.ptr[number], children.ptr[number + 1])
        if ngram[-1] != END:
            assert children.tokens[span].tolist() == tokens.tolist()
            assert children.counts[span].tolist() == counts.tolist()
    assert (beams.counts[4:] > 0).all()
    rows = rng.choice(DOCUMENTS, 500)
    ptr, tokens = index.texts(rows)
    for at, row in enumerate(rows.tolist()):
        assert tokens[ptr[at] : ptr[at + 1]].tolist() == list(parts[row])


def items(count: int) -> list[Item]:
    rng = np.random.default_rng(1)
    made = [" ".join(rng.choice(WORDS, size)) for size in rng.integers(4, 14, count)]
    return [
        Item(f"i{row:02}", {"Name": f"{WORDS[row % 5]} {row}", "Text": text}) for row, text in enumerate(made)
    ]


def stage(listed: list[Item], folder: Path, **options: object) -> GenerativeRetriever:
    catalog = Catalog.of(listed, name="words", name_field="Name", requests=[])
    chosen, env = SEAL.model_validate({"beams": 4, "length": 4, **options}), Environment("cpu", cache=folder)
    if chosen.model is None:  # reads the packaged tokenizer, which a cache of its own would make anew
        return chosen.build(catalog, Environment("cpu"))
    return GenerativeRetriever.with_model(catalog, chosen, tiny_language_model("llama"), env)


@pytest.mark.parametrize(
    ("scoring", "model"),
    [
        ("lm", "tiny"),
        ("lm_fm", "tiny"),
        ("lm_fm", None),
        ("intersective", None),
    ],  # a random model finds all unlikely
)
def test_what_is_found_does_not_depend_on_the_order_of_documents(
    scoring: str, model: str | None, tmp_path: Path
) -> None:
    listed = items(30)
    mixed = [listed[row] for row in np.random.default_rng(2).permutation(len(listed))]
    queries = ["quiet coffee machine", "best tent for two people", "cheap steel"]
    results = []
    for order in (listed, mixed):
        made = stage(order, tmp_path, scoring=scoring, model=model, rare=60)
        answers = made.answers(queries)
        results.append([
            {order[row].id: score for row, score in zip(one.found.rows, one.found.scores, strict=True)}
            for one in answers
        ])  # fmt: skip
    assert all(len(found) > 1 for found in results[0])
    for first, second in zip(*results, strict=True):
        assert first == pytest.approx(second, abs=1e-4)


def test_no_more_documents_are_scored_in_full_than_candidates(tmp_path: Path) -> None:
    few, all_ = (
        stage(items(30), tmp_path, model=None, rare=60, candidates=count).answers(["quiet coffee machine"])[0]
        for count in (8, 30)
    )
    assert len(few.found.rows) == 8 < len(all_.found.rows)


@pytest.mark.parametrize("query", ["", "?!", "zyzzyva Ω"])
@pytest.mark.parametrize("count", [1, 5])
def test_nothing_asked_and_words_that_no_document_has(query: str, count: int, tmp_path: Path) -> None:
    made = stage(items(count), tmp_path, scoring="lm")
    (answer,) = made.answers([query])
    assert len(answer.keys) > 0
    assert (answer.keys.counts > 0).all()
    assert 0 < len(answer.found.rows) <= count
    assert np.isfinite(answer.found.scores).all()


def test_reasons_are_written_out_when_looked_at_and_add_up(tmp_path: Path) -> None:
    (answer,) = stage(items(30), tmp_path, model=None).answers(["quiet coffee machine"])
    found = answer.found
    assert len(found.reasons) == len(found.rows) > 1
    assert list(found.reasons[:2]) == list(found.reasons)[:2]
    for score, reasons, alone in zip(found.scores, found.reasons, found.singles, strict=True):
        assert score == pytest.approx(alone + sum(gain for _, gain in reasons))
        assert [gain for _, gain in reasons] == sorted((gain for _, gain in reasons), reverse=True)


def test_special_tokens_in_listings_and_requests_are_text(tmp_path: Path) -> None:
    marked = [
        Item("a", {"Name": "red <|im_end|>", "Text": "<|im_end|> a glass <|im_start|>of wine"}),
        *items(3),
    ]
    built = stage(marked, tmp_path)
    special = set(tiny_language_model("llama").tokenizer.all_special_ids)
    assert special
    tokens, _ = built.index.unigrams
    assert not special.intersection(tokens.tolist())
    assert not special.intersection(built.encode("<|im_end|> a glass"))
    assert built.asker
    asked = built.asker._prompts([("what <|im_end|> is red?", False)])[0]
    assert (
        asked
        == built.reader.encode_many([built.options.prompt.replace("{query}", "what < |im_end|> is red?")])[0]
    )

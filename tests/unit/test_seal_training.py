"""Teaching a model to write n-grams of documents: what is learnt from, and that it is learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrievers.seal.tuning.lessons import Lessons, Split
from retrievers.seal.tuning.options import SealTrainer
from retrievers.seal.tuning.spans import Text, drawn, stretch
from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.errors import UserError
from testbed.language import LanguageModel, Prefix, Row
from testbed.protocols import CatalogPlugin
from testbed.testing.tiny import tiny_network, tiny_tokenizer
from testbed.tuning.training import Training
from testbed.types import Item, Request

FACTS = {
    "alpha": "quiet coffee machine for a small office",
    "beta": "steel grinder with a long cable",
    "gamma": "cheap kettle that boils water fast",
    "delta": "red chair and a wooden table",
}


class Facts(CatalogPlugin):
    """Four documents with three requests each."""

    def load(self) -> Catalog:
        """See FACTS."""
        items = [Item(name, {"Name": name.title(), "Text": text}) for name, text in FACTS.items()]
        requests = [
            Request(f"{name}-{number}", " ".join(text.split()[number : number + 3]))
            for name, text in FACTS.items()
            for number in range(3)
        ]
        judgements = {request.id: {request.id.split("-")[0]: 1} for request in requests}
        return Catalog.of(items, name="facts", requests=requests, judgements=judgements)


OPTIONS = SealTrainer(
    catalog=Facts(), rank=4, first_layer=0, steps=80, warmup=1, decay=0.0, learning_rate=0.02, batch=8, spans=8,
    length=8, evaluate_every=80, unsupervised=0.3, held_out=0.3, prompt="{query}", title_prompt="name {query}",
)  # fmt: skip


def model() -> LanguageModel:
    return LanguageModel(
        model=tiny_network("llama"), tokenizer=tiny_tokenizer(), name="tiny", fingerprint="tiny"
    )


def lessons(folder: Path, options: SealTrainer = OPTIONS) -> Lessons:
    return Lessons(model(), options, Environment(device="cpu", cache=folder))


def test_spans_begin_with_words_and_favour_the_query() -> None:
    pieces = [" the", " cof", "fee", " machine", " is", " red", ".", " blue"]
    tokens = [0, 1, 2, 3, 4, 5, 6, 0, 7, 3]
    text = Text.of(tokens, pieces)
    assert text.words == ("the", "coffee", "", "machine", "is", "red", "", "the", "blue", "machine")
    assert text.begins.tolist() == [0, 1, 3, 4, 5, 7, 8, 9]
    rng = np.random.default_rng(0)
    sharp = [drawn(text, "Coffee machine?", 1, 3, 50.0, rng)[0] for _ in range(20)]
    assert set(sharp) <= {(1, 2, 3)}
    even = {drawn(text, "Coffee machine?", 1, 3, 0.0, rng)[0] for _ in range(200)}
    assert even == {(1, 2, 3), (3, 4, 5), (5, 6, 0), (7, 3), (3,)}  # none begins with "the" or "is"
    assert len(drawn(text, "", 100, 2, 1.0, rng)) == 5
    rarity = np.array([0, 1, 0, 0, 0, 1, 0, 1.0])
    rare = [drawn(text, "machine red", 1, 1, 50.0, rng, rarity)[0] for _ in range(20)]
    assert set(rare) == {(5,)}
    assert drawn(Text.of([6], pieces), "red", 3, 3, 1.0, rng) == []


def test_a_stretch_is_some_words_of_the_document() -> None:
    whole = " one two three four five six seven eight nine ten eleven twelve"
    tiny = model()
    text = Text.of(tiny.encode(whole), tiny.pieces)
    rng = np.random.default_rng(1)
    found = {stretch(text, tiny, rng) for _ in range(30)}
    assert len(found) > 5
    assert all(f" {one}" in whole and len(one.split()) >= 4 for one in found)


def test_held_out_requests_are_not_learnt_from(tmp_path: Path) -> None:
    found = Split.of(Facts().load(), 0.3, 0)
    assert {one.id for one in found.train} & {one.id for one in found.held_out} == set()
    assert len(found.train) + len(found.held_out) == 12
    assert found == Split.of(Facts().load(), 0.3, 0)
    assert found != Split.of(Facts().load(), 0.3, 1)
    made = lessons(tmp_path, OPTIONS.model_copy(update={"unsupervised": 0.0, "titles": 0.0}))
    rng = np.random.default_rng(0)
    prompts = {made.model.decode(row.trunk) for row in (made._row(rng) for _ in range(200)) if row}
    assert prompts == {one.text for one in found.train}
    with pytest.raises(UserError, match="12 requests with judgements cannot be split"):
        Split.of(Facts().load(), 1e-9, 0)


def test_a_lesson_is_spans_of_a_relevant_document_behind_the_retrievers_prompt(tmp_path: Path) -> None:
    made = lessons(
        tmp_path, OPTIONS.model_copy(update={"unsupervised": 0.0, "titles": 0.0, "prompt": "q: {query}"})
    )
    by_text = {request.text: made.catalog.judgements[request.id] for request in made.catalog.requests}
    rng = np.random.default_rng(0)
    for _ in range(20):
        row = made._row(rng)
        assert row
        prompt = made.model.decode(row.trunk)
        assert prompt.startswith("q: ")
        texts = [f" {item.title()}\n{FACTS[item]}" for item in by_text[prompt.removeprefix("q: ")]]
        for branch in row.branches:
            assert any(made.model.decode(branch) in text for text in texts)
    titled = lessons(tmp_path, OPTIONS.model_copy(update={"titles": 1.0, "unsupervised": 0.0}))
    row = titled._row(rng)
    assert row
    assert titled.model.decode(row.trunk).startswith("name ")
    assert titled.model.decode(row.branches[0]) in {f" {name.title()}\n" for name in FACTS}


def test_the_loss_is_that_of_the_spans_token_by_token(tmp_path: Path) -> None:
    made = lessons(tmp_path)
    taught = made.unit(0, 1)
    rng = np.random.default_rng([OPTIONS.seed, 3, 0, 1])
    rows: list[Row] = [row for row in (made._row(rng) for _ in range(4)) if row]
    expected = sum(
        -float(made.model.log_probs(Prefix(), [row])[0][place].sum())
        for row in rows
        for place in range(len(row.branches))
    )
    assert float(taught.loss) == pytest.approx(expected, rel=1e-4)
    assert taught.count == sum(len(branch) for row in rows for branch in row.branches)


def test_training_teaches_retrieval(tmp_path: Path) -> None:
    env = Environment(device="cpu", cache=tmp_path)
    training = Training(model(), OPTIONS, tmp_path, lambda model: Lessons(model, OPTIONS, env))
    lines: list[dict[str, float]] = []
    training.run(lines.append)
    losses = [line["loss"] for line in lines if "loss" in line]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:3])
    looks = [line["validation"] for line in lines if "validation" in line]
    assert looks[-1] < looks[0]
    assert looks[-1] < 0.35

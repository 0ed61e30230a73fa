"""Fine-tuning the encoder with the heads: what learns, gradients in parts, going on, what is left for use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from retrievers.goals.data import split_of
from retrievers.goals.loaded import loaded
from retrievers.goals.offers import Offers
from retrievers.goals.tuning.batches import Batch
from retrievers.goals.tuning.fine_tuning import FineTuning
from retrievers.goals.tuning.options import GoalsTrainer
from retrievers.goals.tuning.seeds import train
from retrievers.goals.tuning.training import Training
from retrievers.goals.vectors import vectors_of
from testbed.environment import Environment
from testbed.errors import UserError
from testbed.language.learning_encoder import LearningEncoder
from testbed.testing import tiny_encoder, tiny_sentence_encoder
from testbed.testing.texts import WORDS
from testbed.testing.toy_world import toy_catalog


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sentence_encoder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every turn says the next word: what follows is learnt, and not what is alike."""
    folder = tmp_path_factory.mktemp("dialogues")
    rng = np.random.default_rng(0)
    for name, count in (("train", 24), ("valid", 12)):
        lines = []
        for _ in range(count):
            first = int(rng.integers(len(WORDS)))
            turns = [f"{WORDS[(first + turn) % len(WORDS)]} {'ab'[rng.integers(2)]}" for turn in range(8)]
            lines.append(json.dumps({"turns": turns}) + "\n")
        (folder / f"{name}.jsonl").write_text("".join(lines), "utf-8")
    return folder


def options_of(data: Path, encoder: Path, **changes: Any) -> GoalsTrainer:
    given = {"epochs": 2, "batch": 16, "deduplicate": False, "encoder_layers": 1, "encoder_epochs": 3}
    more = {"learning_rate": 0.01, "weight_decay": 0.0, "encoder_learning_rate": 3e-3, "patience": 9}
    return GoalsTrainer(data=data, encoder=str(encoder), **{**given, **more, **changes})


def environment(tmp_path: Path) -> Environment:
    return Environment(device="cpu", threads=1, cache=tmp_path / "cache")


def before(options: GoalsTrainer, folder: Path, env: Environment) -> Training:
    """Heads alone, trained."""
    folder.mkdir(exist_ok=True)
    split, encoder = split_of(options.data, deduplicate=options.deduplicate), env.encoder(options.encoder)
    vectors = tuple(vectors_of(one.texts, encoder, env.cache) for one in (split.training, split.validation))
    assert len(vectors) == 2
    training = Training(options, split, vectors, encoder.fingerprint, folder, 0, torch.device("cpu"))
    training.run(lambda line: None)
    return training


@pytest.mark.parametrize("loss", ["softmax+margin", "mse"])
def test_gradients_in_parts_are_those_of_the_whole(
    tmp_path: Path, data: Path, encoder: Path, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrievers.goals.tuning.fine_tuning.BATCH", 3)
    monkeypatch.setattr("retrievers.goals.tuning.fine_tuning.CLIP", float("inf"))
    options, env = options_of(data, encoder, loss=loss), environment(tmp_path)
    run = FineTuning(before(options, tmp_path / "a", env), tmp_path / "b", env)
    cut, texts = run.windows[:6], run.split.training.texts
    run.optimizer.zero_grad(set_to_none=True)
    with torch.enable_grad():
        value = run._backward(cut, np.random.default_rng(1))
        parts = {name: weight.grad for name, weight in run.network.named_parameters()}
        run.optimizer.zero_grad(set_to_none=True)
        batch = Batch.drawn(options, cut, run.split.training.rows, np.random.default_rng(1))
        table = run.encoder.vectors(texts)
        whole = batch.loss(options, run.heads, lambda rows: table[torch.from_numpy(rows.astype(np.int64))])
        whole.backward()  # type: ignore[no-untyped-call]
    assert float(value.detach()) == pytest.approx(float(whole.detach()), abs=1e-5)
    for name, weight in run.network.named_parameters():
        assert weight.grad is not None
        assert parts[name] == pytest.approx(weight.grad, abs=1e-4), name
    assert any(name.startswith("layers") and grad.abs().max() > 1e-3 for name, grad in parts.items())


def test_an_interrupted_fine_tuning_ends_like_an_undisturbed_one(
    tmp_path: Path, data: Path, encoder: Path
) -> None:
    options, env = options_of(data, encoder), environment(tmp_path)
    lines: list[dict[str, Any]] = []
    FineTuning(before(options, tmp_path / "heads", env), tmp_path / "whole", env).run(lines.append)

    class Stop(Exception):
        pass

    seen: list[dict[str, Any]] = []

    def tell(line: dict[str, Any]) -> None:
        seen.append(line)
        if len(seen) == 2:
            raise Stop

    with pytest.raises(Stop):
        FineTuning(before(options, tmp_path / "heads", env), tmp_path / "cut", env).run(tell)
    assert not (tmp_path / "cut" / "model.json").exists()
    FineTuning(before(options, tmp_path / "heads", env), tmp_path / "cut", env).run(tell)
    assert [(one["epoch"], one["loss"], one["validation"]) for one in seen] == [
        (one["epoch"], one["loss"], one["validation"]) for one in lines
    ]
    for name in ("model.safetensors", "encoder/model.safetensors"):
        first, second = (load_file(tmp_path / where / name) for where in ("whole", "cut"))
        assert all(torch.equal(first[key], second[key]) for key in first)
    other = before(options.model_copy(update={"epochs": 4}), tmp_path / "heads", env)
    with pytest.raises(UserError, match="was trained from another start; choose another folder"):
        FineTuning(other, tmp_path / "cut", env)


def test_what_is_left_can_be_used(tmp_path: Path, data: Path, encoder: Path) -> None:
    options, env = options_of(data, encoder), environment(tmp_path)
    train(options, tmp_path / "out", env)
    figures = json.loads((tmp_path / "out" / "figures.json").read_text("utf-8"))
    assert list(figures) == ["these heads", "heads and encoder", "plain cosine"]
    tuned, alone = figures["heads and encoder"][0], figures["these heads"][0]
    assert tuned["rank ÷ pool"] < alone["rank ÷ pool"]
    folder = tmp_path / "out" / "seed-0" / "tuned"
    catalog = toy_catalog()
    offers = Offers(catalog, tuple(catalog.columns))
    network, heads = loaded(folder, True, offers, env)
    old, new = (load_file(where / "model.safetensors") for where in (encoder, folder / "encoder"))
    moved = {key for key in old if not torch.equal(old[key], new[key])}
    assert moved
    assert all(".layer.1." in key for key in moved)
    assert network.name == str(folder / "encoder")
    assert np.abs(network.encode(["tent a"]) - env.encoder(str(encoder)).encode(["tent a"])).max() > 1e-3
    start = before(options, tmp_path / "out" / "seed-0", env).heads
    assert not torch.equal(heads.later, start.later)
    assert not [*folder.rglob("*.bin"), *folder.rglob("*.pkl")]
    about = json.loads((folder / "model.json").read_text("utf-8"))
    assert about["encoder"] == "./encoder"
    (folder / "model.json").write_text(json.dumps({**about, "encoder_fingerprint": "0"}), "utf-8")
    with pytest.raises(UserError, match=r"was taught on another .*encoder' than this one"):
        loaded(folder, True, offers, env)


def test_layers_that_cannot_be_told_are_one_error(
    tmp_path: Path, data: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="has 2 layers; encoder_layers: 3 is too many"):
        train(options_of(data, encoder, encoder_layers=3), tmp_path / "out", environment(tmp_path))
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr("testbed.language.learning_encoder.load_encoder", lambda *_, **__: tiny_encoder())
    with pytest.raises(UserError, match="its transformer layers cannot be told, so none can learn"):
        LearningEncoder.loaded("words", 1, device="cpu")

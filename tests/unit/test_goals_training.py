"""Training heads: they learn, go on to the same result, refuse what does not fit; odd dialogues are taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from retrievers.goals.data import Dialogues, Split
from retrievers.goals.evaluation import direction_accuracy, mean_share, next_ranks
from retrievers.goals.scoring import Curvature, full_scores
from retrievers.goals.stored import Stored
from retrievers.goals.tuning import checkpoint
from retrievers.goals.tuning.options import GoalsTrainer
from retrievers.goals.tuning.seeds import train
from retrievers.goals.tuning.training import Training
from retrievers.goals.vectors import vectors_of
from testbed.environment import Environment
from testbed.errors import UserError

SMALL: dict[str, Any] = {
    "data": Path("x"),
    "batch": 64,
    "epochs": 4,
    "learning_rate": 0.01,
    "weight_decay": 0.0,
}
WIDTH = 16


def world(dialogues: int, seed: int) -> tuple[Dialogues, np.ndarray]:
    """Dialogues whose vectors turn by a tenth of a circle a turn, in noise: what follows is far in plain cosine."""
    rng = np.random.default_rng(seed)
    turn = np.kron(np.eye(WIDTH // 2), [[0.809, 0.588], [-0.588, 0.809]])
    said, vectors = [], []
    for dialogue in range(dialogues):
        topic = rng.normal(size=WIDTH)
        turns = int(rng.integers(6, 12))
        said.append([f"{seed}-{dialogue}-{place}" for place in range(turns)])
        for _ in range(turns):
            vector = topic + rng.normal(size=WIDTH) * 0.7
            vectors.append(vector / np.linalg.norm(vector))
            topic = topic @ turn
    return Dialogues.of(said), np.array(vectors, np.float32)


TRAINING, VALIDATION = world(60, 1), world(40, 2)
SPLIT = Split(TRAINING[0], VALIDATION[0], None)


def training_of(folder: Path, seed: int = 0, split: Split = SPLIT, **options: Any) -> Training:
    folder.mkdir(exist_ok=True)
    vectors = (TRAINING[1], VALIDATION[1])
    given = GoalsTrainer(**{**SMALL, **options})
    return Training(given, split, vectors, "print", folder, seed, torch.device("cpu"))


def without_time(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name != "seconds"}


@pytest.mark.parametrize("loss", ["softmax+margin", "mse"])
def test_an_interrupted_training_ends_like_an_undisturbed_one(tmp_path: Path, loss: str) -> None:
    whole = training_of(tmp_path / "whole", loss=loss)
    lines: list[dict[str, Any]] = []
    whole.run(lines.append)
    assert len(lines) == 4

    class Stop(Exception):
        pass

    seen: list[dict[str, Any]] = []

    def tell(line: dict[str, Any]) -> None:
        seen.append(line)
        if len(seen) == 2:
            raise Stop

    with pytest.raises(Stop):
        training_of(tmp_path / "cut", loss=loss).run(tell)
    again = training_of(tmp_path / "cut", loss=loss)
    again.run(tell)
    assert [*map(without_time, seen)] == [*map(without_time, lines)]
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = training_of(tmp_path / "other", seed=1, loss=loss)
    other.run(lambda line: None)
    assert not torch.equal(other.heads.later, whole.heads.later)


def test_heads_beat_plain_cosine_and_know_direction(tmp_path: Path) -> None:
    training = training_of(tmp_path / "a", epochs=10)
    training.run(lambda line: None)
    dialogues, vectors = VALIDATION
    plain, curved = Curvature.plain(vectors), Curvature.of(vectors, training.heads)
    assert mean_share(next_ranks(dialogues, curved)) < 0.9 * mean_share(next_ranks(dialogues, plain))
    assert direction_accuracy(dialogues, plain) == 0.5
    assert direction_accuracy(dialogues, curved) > 0.7
    lower = 0
    for turns in dialogues:
        onward, reverse = (_coherence(curved.only(rows)) for rows in (turns, turns[::-1]))
        lower += reverse < onward
    assert lower > 0.8 * len(dialogues)
    assert Stored.of(tmp_path / "a").heads().later.equal(training.heads.later)


def _coherence(said: Curvature) -> float:
    """Sum over turns of how well each follows those before it."""
    return float(
        sum(full_scores(said.only(np.arange(n)), said.after[n : n + 1])[0] for n in range(1, len(said)))
    )


def test_training_ends_early_and_keeps_its_best(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    training = training_of(tmp_path / "a", learning_rate=5.0, patience=2, epochs=50, temperature=0.01)
    training.run(lines.append)
    progress = training.progress
    assert progress.epoch == progress.best_epoch + 2 < 50
    assert progress.best == min(line["validation"] for line in lines)
    zero = training_of(tmp_path / "b", epochs=0)
    zero.run(lines.append)
    assert not zero.heads.later.any()


def test_a_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    training_of(tmp_path / "a").run(lambda line: None)
    with pytest.raises(UserError, match=r"was trained with margin '0\.1', not '0\.3'; give the same options"):
        training_of(tmp_path / "a", margin=0.3)
    with pytest.raises(UserError, match="was trained on other data; choose another folder"):
        training_of(tmp_path / "a", split=Split(TRAINING[0].only(range(50)), VALIDATION[0], None))
    (tmp_path / "a" / checkpoint.STATE).write_text("{", "utf-8")
    with pytest.raises(UserError, match=r"checkpoint\.json: is damaged \(.*\); remove the folder"):
        training_of(tmp_path / "a")
    with pytest.raises(UserError, match="no dialogue has six turns to learn from"):
        training_of(tmp_path / "b", split=Split(Dialogues.of([["a"]]), VALIDATION[0], None))
    with pytest.raises(ValidationError, match="expected at least one, none twice"):
        GoalsTrainer(**SMALL, seeds=(1, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{", "is damaged"),
        ('{"version": 2, "width": 4, "encoder": "e", "encoder_fingerprint": "f"}', "is of version 2, expected 1"),
        ('{"version": 1, "width": -4, "encoder": "e", "encoder_fingerprint": "f"}', r"is damaged \(width -4\)"),
        ('{"version": 1, "width": 4, "encoder": "e", "encoder_fingerprint": "f"}', r"does not fit model\.json"),
    ],
)  # fmt: skip
def test_damaged_heads_are_named(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(UserError, match="holds no heads; `testbed train goals` leaves them"):
        Stored.of(tmp_path)
    training_of(tmp_path).run(lambda line: None)
    (tmp_path / "model.json").write_text(change, "utf-8")
    with pytest.raises(UserError, match=message):
        Stored.of(tmp_path).heads()


@pytest.mark.slow
def test_odd_dialogues_are_trained_on_with_the_packaged_encoder(tmp_path: Path) -> None:
    odd = [
        [
            "我想買一個帳篷",
            "ما هي ميزانيتك؟",
            "До 150 евро",
            "\u202etxet\u202c \x00\x07",
            "",
            "👍🏽",
            "ok",
            "😀",
        ],
        ["only one turn"],
        [""],
        [f"turn {n % 40}" for n in range(1000)],
    ]
    usual = [[f"{word} {n}?" for n in range(7)] for word in ("tent", "hotel", "novel", "coffee")]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps({"turns": one}) + "\n" for one in odd), "utf-8")
    (tmp_path / "valid.jsonl").write_text(
        "".join(json.dumps({"turns": one}) + "\n" for one in usual), "utf-8"
    )
    (tmp_path / "test.jsonl").write_text(
        "".join(json.dumps({"turns": one}) + "\n" for one in usual[:2]), "utf-8"
    )
    env = Environment(device="cpu", threads=1, cache=tmp_path / "cache")
    options = GoalsTrainer(data=tmp_path, epochs=1, seeds=(0, 1), deduplicate=False)
    train(options, tmp_path / "out", env)
    figures = json.loads((tmp_path / "out" / "figures.json").read_text("utf-8"))
    assert [len(found) for found in figures.values()] == [2, 1]
    assert figures["plain cosine"][0]["direction"] == pytest.approx(0.5)
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert (
        "4 training dialogues (0 removed that overlap with test), 4 for validation, 2 measured: test." in card
    )
    assert card.count("| plain cosine |") == 1
    before = (tmp_path / "out" / "seed-1" / "log.jsonl").read_text("utf-8")
    train(options, tmp_path / "out", env)
    assert (tmp_path / "out" / "seed-1" / "log.jsonl").read_text("utf-8") == before
    encoder = env.encoder("minilm")
    vectors = vectors_of([text for dialogue in odd for text in dialogue], encoder, tmp_path / "cache")
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    curved = Curvature.of(vectors, Stored.of(tmp_path / "out" / "seed-0").heads())
    assert np.allclose(np.linalg.norm(curved.after, axis=1), 1, atol=1e-5)

"""Training a sequential recommender: it learns, goes on to the same result, refuses what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from retrievers.rearec.data import Interactions, Split, leave_one_out
from retrievers.rearec.evaluation import ranks
from retrievers.rearec.predict import READS, scorer
from retrievers.rearec.tuning import checkpoint
from retrievers.rearec.tuning.options import RearecTrainer
from retrievers.rearec.tuning.training import Training
from testbed.environment import Environment
from testbed.errors import UserError

SMALL: dict[str, Any] = {
    "data": Path("x"), "width": 16, "inner": 32, "length": 8, "batch": 128, "epochs": 3, "reasoning_epochs": 2,
    "learning_rate": 0.01, "dropout": 0.1,
}  # fmt: skip


def chain(users: int = 150, items: int = 20) -> Split:
    """Histories that follow one cycle of items, with some noise."""
    rng = np.random.default_rng(0)
    histories = []
    for _ in range(users):
        item, history = int(rng.integers(items)), []
        for _ in range(int(rng.integers(4, 9))):
            history.append(item)
            item = (item + 3) % items if rng.random() < 0.9 else int(rng.integers(items))
        histories.append(history)
    return leave_one_out(
        Interactions.of([f"u{n}" for n in range(users)], [f"i{n}" for n in range(items)], histories)
    )


def training_of(folder: Path, options: RearecTrainer, split: Split | None = None, seed: int = 0) -> Training:
    folder.mkdir(exist_ok=True)
    return Training(options, split or chain(), folder, seed, None, torch.device("cpu"))


@pytest.mark.parametrize(
    "given",
    [{"loss": "base", "steps": 0}, {"loss": "erl", "steps": 1}, {"loss": "prl", "steps": 2, "negatives": 10}],
    ids=lambda given: given["loss"],
)
def test_an_interrupted_training_ends_like_an_undisturbed_one(tmp_path: Path, given: dict[str, Any]) -> None:
    options = RearecTrainer(**SMALL, **given)
    whole = training_of(tmp_path / "whole", options)
    lines: list[dict[str, Any]] = []
    whole.run(lines.append)
    for stop in (2, 4):
        folder = tmp_path / f"cut-{stop}"

        class Stop(Exception):
            pass

        seen: list[dict[str, Any]] = []

        def tell(line: dict[str, Any], seen: list[dict[str, Any]] = seen, stop: int = stop) -> None:
            seen.append(line)
            if len(seen) == stop:
                raise Stop

        if stop < len(lines):
            with pytest.raises(Stop):
                training_of(folder, options).run(tell)
        else:
            training_of(folder, options).run(seen.append)
        again = training_of(folder, options)
        again.run(seen.append)
        assert [_without_time(line) for line in seen] == [_without_time(line) for line in lines]
        for name, weight in load_file(tmp_path / "whole" / checkpoint.BEST).items():
            assert torch.equal(load_file(folder / checkpoint.BEST)[name], weight)


def test_a_raised_limit_goes_on_as_if_it_had_always_been_higher(tmp_path: Path) -> None:
    options = RearecTrainer(**{**SMALL, "epochs": 4})
    whole: list[dict[str, Any]] = []
    training_of(tmp_path / "whole", options).run(whole.append)
    parts: list[dict[str, Any]] = []
    training_of(tmp_path / "parts", options.model_copy(update={"epochs": 2})).run(parts.append)
    training_of(tmp_path / "parts", options).run(parts.append)
    assert [_without_time(line) for line in parts] == [_without_time(line) for line in whole]


def test_a_phase_that_waited_in_vain_goes_on_from_its_best_in_smaller_steps(tmp_path: Path) -> None:
    options = RearecTrainer(**{**SMALL, "epochs": 30, "learning_rate": 0.05, "patience": 1})
    lines: list[dict[str, Any]] = []
    training = training_of(tmp_path, options)
    training.run(lines.append)
    seen = len(lines)
    assert seen < 30
    stuck = load_file(tmp_path / checkpoint.BEST)
    again = training_of(tmp_path, options.model_copy(update={"decays": 2}))
    weights: list[dict[str, torch.Tensor]] = []
    rates: list[float] = []
    epoch = again._epoch

    def watched() -> float:
        weights.append({name: value.clone() for name, value in again.model.state_dict().items()})
        loss = epoch()
        rates.append(again.optimizer.param_groups[0]["lr"])
        return loss

    again._epoch = watched  # type: ignore[method-assign]
    again.run(lines.append)
    assert all(torch.equal(weights[0][name], value) for name, value in stuck.items())
    assert sorted(set(rates), reverse=True) == pytest.approx([0.01, 0.002])
    assert again.progress.decays == 2
    assert max(line["NDCG@10"] for line in lines) == again.progress.best


def test_reasoning_has_a_learning_rate_of_its_own(tmp_path: Path) -> None:
    """With next to none the backbone stays what it was."""
    base = tmp_path / "base"
    base.mkdir()
    training_of(base / "seed-0", RearecTrainer(**SMALL)).run(lambda line: None)
    backbone = load_file(base / "seed-0" / checkpoint.BEST)
    del backbone["steps"]
    given = {**SMALL, "loss": "erl", "steps": 2, "reasoning_epochs": 2, "start": base}
    changed = {}
    for rate in (None, 1e-12):
        training = training_of(tmp_path / f"{rate}", RearecTrainer(**given, reasoning_rate=rate))
        training.run(lambda line: None)
        now = training.model.state_dict()
        changed[rate] = max(float((now[name] - value).abs().max()) for name, value in backbone.items())
    assert changed[1e-12] < 1e-6 < 1e-3 < changed[None]


def test_a_backbone_goes_on_from_another_with_other_options(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    first = training_of(tmp_path / "a" / "seed-0", RearecTrainer(**SMALL))
    first.run(lambda line: None)
    again = training_of(tmp_path / "b", RearecTrainer(**SMALL, start=tmp_path / "a", negatives=3))
    assert all(
        torch.equal(value, again.model.state_dict()[name]) for name, value in first.model.state_dict().items()
    )
    lines: list[dict[str, Any]] = []
    again.run(lines.append)
    assert [line["phase"] for line in lines] == ["backbone"] * len(lines) != []


def test_reasoning_begins_from_the_backbone_of_another_training(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    training_of(base / "seed-0", RearecTrainer(**SMALL)).run(lambda line: None)
    given = RearecTrainer(**SMALL, loss="prl", steps=2, start=base)
    training = training_of(tmp_path / "prl", given)
    backbone = load_file(base / "seed-0" / checkpoint.BEST)
    assert all(
        torch.equal(value, backbone[name])
        for name, value in training.model.state_dict().items()
        if name != "steps"
    )
    lines: list[dict[str, Any]] = []
    training.run(lines.append)
    assert {line["phase"] for line in lines} == {"reasoning"}
    with pytest.raises(UserError, match=r"start: .*seed-0 has width '16', not '8'"):
        training_of(tmp_path / "small", given.model_copy(update={"width": 8}))
    with pytest.raises(UserError, match=r"start: .*seed-1 holds no trained model"):
        training_of(tmp_path / "other", given, seed=1)
    with pytest.raises(UserError, match=r"start: .*seed-0 was trained with another data"):
        training_of(tmp_path / "data", given, chain(users=151))
    (tmp_path / "prl").rename(base / "seed-2")
    with pytest.raises(UserError, match=r"start: .*seed-2 was trained with loss 'prl', not 'base'"):
        training_of(tmp_path / "twice", given, seed=2)


@pytest.mark.parametrize("backbone", ["sasrec", "bert4rec", "s4d", "gru"])
def test_lower_precision_learns_nearly_the_same(tmp_path: Path, backbone: str) -> None:
    options = RearecTrainer(**SMALL, backbone=backbone, loss="prl", steps=1)
    exact: list[dict[str, Any]] = []
    rough: list[dict[str, Any]] = []
    training_of(tmp_path / "exact", options).run(exact.append)
    training_of(tmp_path / "rough", options.model_copy(update={"precision": "bf16"})).run(rough.append)
    assert [line["loss"] for line in rough] != [line["loss"] for line in exact]
    assert [line["loss"] for line in rough] == pytest.approx([line["loss"] for line in exact], rel=0.02)


def _without_time(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name != "seconds"}


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["sasrec", "bert4rec", "s4d", "gru"])
def test_every_backbone_learns_a_chain(tmp_path: Path, backbone: str) -> None:
    options = RearecTrainer(**{**SMALL, "epochs": 12}, backbone=backbone, loss="prl", steps=1, branches=3)
    training = training_of(tmp_path, options)
    lines: list[dict[str, Any]] = []
    training.run(lines.append)
    split = training.split
    found = ranks(scorer(training.model, split, READS["prl"]), split.interactions, split.test, history=True)
    chance = sum(1 / np.log2(1 + rank) for rank in range(1, 11)) / 20
    assert found.summary()["NDCG@10"] > 2 * chance
    assert [line["phase"] for line in lines].count("reasoning") == 2


def test_other_options_and_other_data_do_not_continue_a_training(tmp_path: Path) -> None:
    options = RearecTrainer(**SMALL)
    training_of(tmp_path, options).run(lambda line: None)
    with pytest.raises(UserError, match=r"was trained with width '16', not '32'; give the same options"):
        training_of(tmp_path, options.model_copy(update={"width": 32}))
    with pytest.raises(UserError, match="was trained on other data; choose another folder"):
        training_of(tmp_path, options, chain(users=151))
    training_of(tmp_path, options.model_copy(update={"epochs": 4}))
    (weights,) = tmp_path.glob("checkpoint-*.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    with pytest.raises(
        UserError, match=r"checkpoint.json: is damaged .*; remove the folder or choose another"
    ):
        training_of(tmp_path, options)
    weights.write_bytes(whole)
    (tmp_path / checkpoint.STATE).write_text("{")
    with pytest.raises(
        UserError, match=r"checkpoint.json: is damaged .*; remove the folder or choose another"
    ):
        training_of(tmp_path, options)


def test_nothing_to_learn_from_and_losses_that_are_no_numbers(tmp_path: Path) -> None:
    short = leave_one_out(Interactions.of("ab", "pqr", [[0, 1, 2], [1, 2, 0]]))
    with pytest.raises(UserError, match="x: no user has two interactions to learn from"):
        training_of(tmp_path / "short", RearecTrainer(**SMALL), short)
    wild = training_of(tmp_path / "wild", RearecTrainer(**SMALL))
    wild.model.places.weight.data[:] = torch.nan
    with pytest.raises(UserError, match="seed 0: the loss is no number any more; lower learning_rate"):
        wild.run(lambda line: None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": "erl"}, "loss 'erl' needs reasoning steps: set steps=2, for instance"),
        ({"steps": 2}, "2 steps need a loss that teaches them: erl, prl or last"),
        ({"width": 15, "heads": 2}, "width 15 cannot be shared by 2 heads"),
        ({"seeds": (1, 1)}, "seeds: expected at least one, none twice"),
    ],
)
def test_options_that_do_not_fit(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RearecTrainer(data=Path("x"), **given)


def test_several_seeds_stand_beside_the_floors(tmp_path: Path) -> None:
    split = chain()
    data = split.interactions
    text = "".join(
        f"{user} {' '.join(data.items[row] for row in data.history(number))}\n"
        for number, user in enumerate(data.users)
    )
    (tmp_path / "data.txt").write_text(text)
    options = RearecTrainer(**{**SMALL, "data": tmp_path / "data.txt", "epochs": 1}, seeds=(0, 3))
    out = tmp_path / "out"
    options.train(out, Environment(device="cpu"))
    figures = json.loads((out / "figures.json").read_text())
    assert set(figures) == {"model", "popularity", "Markov", "item-kNN", "EASE"}
    assert len(figures["model"]) == 2
    assert figures["model"][0] != figures["model"][1]
    card = (out / "README.md").read_text()
    assert card.startswith("# sasrec, 0 reasoning steps, loss base\n\n150 users, 20 items (0 with text), ")
    assert "| Markov | " in card
    assert " ± " in card
    stamp = (out / "seed-0" / checkpoint.BEST).stat().st_mtime_ns
    options.train(out, Environment(device="cpu"))
    assert (out / "seed-0" / checkpoint.BEST).stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match=r"150 of 150|20 of 20 items have no text, for instance 'i\d+'"):
        options.model_copy(update={"items": "text"}).train(tmp_path / "other", Environment(device="cpu"))

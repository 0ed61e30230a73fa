"""Fine-tuning a recommender: adapters, the loss on a tree of requests, checkpoints."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import linear

from retrievers.llm.tuning.batches import Pages, training_page, validation_pages
from retrievers.llm.tuning.examples import Example
from retrievers.llm.tuning.losses import REST, loss
from retrievers.llm.tuning.options import RecommenderTrainer
from retrievers.llm.tuning.world import world
from testbed.errors import ModelError, UserError
from testbed.language import LanguageModel, Prefix, Row, load
from testbed.language.load import tuned_from
from testbed.testing.tiny import tiny_network, tiny_tokenizer
from testbed.tuning import checkpoint
from testbed.tuning.lora import LowRank, attach
from testbed.tuning.training import Training

OPTIONS = RecommenderTrainer(
    reading="likelihood",
    rank=2,
    alpha=4.0,
    first_layer=1,
    steps=4,
    pages=2,
    requests=3,
    evaluate_every=2,
    validation_pages=2,
    warmup=1,
)


def fresh(family: str = "llama") -> LanguageModel:
    """A tiny model of its own: training replaces its layers."""
    return LanguageModel(
        model=tiny_network(family), tokenizer=tiny_tokenizer(), name="tiny", fingerprint=f"tiny-{family}"
    )


def training_of(
    options: RecommenderTrainer, folder: Path, model: LanguageModel | None = None, **share: Any
) -> Training:
    return Training(model or fresh(), options, folder, lambda model: Pages(model, options), **share)


def trained(folder: Path, steps: int, options: RecommenderTrainer = OPTIONS) -> Training:
    """A training that is stopped after so many updates."""
    folder.mkdir(exist_ok=True)
    training = training_of(options, folder)
    lines: list[dict[str, float]] = []

    class Stop(Exception):
        pass

    def tell(line: dict[str, float]) -> None:
        lines.append(line)
        if "validation" in line and training.progress.step >= steps:
            raise Stop

    with contextlib.suppress(Stop):
        training.run(tell)
    return training


def test_gradients_are_those_of_the_sum() -> None:
    torch.manual_seed(0)
    base = torch.nn.Linear(5, 7, bias=False)
    adapter = LowRank(base, 3, 0.5, torch.Generator().manual_seed(1))
    adapter.b.data.normal_()
    adapter.refresh()
    inputs = torch.randn(2, 4, 5, requires_grad=True)
    weight = torch.randn(2, 4, 7)
    (adapter(inputs) * weight).sum().backward()
    again, a, b = (x.detach().clone().requires_grad_() for x in (inputs, adapter.a, adapter.b))
    (linear(again, base.weight.detach() + 0.5 * b @ a) * weight).sum().backward()
    for found, expected in ((inputs.grad, again.grad), (adapter.a.grad, a.grad), (adapter.b.grad, b.grad)):
        torch.testing.assert_close(found, expected)


def test_a_new_adapter_changes_nothing_and_trains_only_itself() -> None:
    model, untouched = fresh(), fresh()
    attach(model.model, rank=2, alpha=4, first_layer=1, seed=0)
    rows = [Row((5, 6, 7), ((8, 9),))]
    assert torch.equal(model.log_probs(Prefix(), rows)[0][0], untouched.log_probs(Prefix(), rows)[0][0])
    free = [name for name, weight in model.model.named_parameters() if weight.requires_grad]
    assert free
    assert all(".layers.1." in name and name[-1] in "ab" for name in free)


def test_a_model_without_such_layers_is_refused() -> None:
    with pytest.raises(ModelError, match="no layer from 7 on has a projection called q_proj"):
        attach(fresh().model, rank=2, alpha=4, first_layer=7, seed=0)


def test_the_loss_is_that_of_requests_asked_one_by_one() -> None:
    model = fresh()
    page = training_page(model, world(), OPTIONS, 0, 0)
    value, least = loss(model, page)
    assert float(value) == pytest.approx(by_hand(model, page), rel=1e-4)
    assert least < float(value)
    entropies = [-sum(p * np.log(p) for p in b.first.values() if p > 0) for b in page.branches]
    assert least == pytest.approx(sum(entropies))


def by_hand(model: LanguageModel, page: Example) -> float:
    """The loss from every prompt alone."""
    first, rest = 0.0, []
    for branch in page.branches:
        prompt = page.trunk + branch.tokens
        logs = model.next_log_probs(Prefix(), [prompt])[0]
        first -= sum(share * float(logs[token]) for token, share in branch.first.items())
        for place in range(1, len(branch.answer)):
            then = model.next_log_probs(Prefix(), [prompt + branch.answer[:place]])[0]
            rest.append(-float(then[branch.answer[place]]))
    return first + REST * float(np.mean(rest)) * len(page.branches)


def test_pages_depend_on_seed_step_and_place_only() -> None:
    model = fresh()
    page = training_page(model, world(), OPTIONS, 3, 1)
    assert page == training_page(model, world(), OPTIONS, 3, 1)
    assert page != training_page(model, world(), OPTIONS, 3, 0)
    assert page not in validation_pages(model, world(), OPTIONS)
    assert page.size <= OPTIONS.tokens


def test_an_interrupted_training_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", 4)
    trained(tmp_path / "parts", 2)
    parts = trained(tmp_path / "parts", 4)
    assert parts.progress == whole.progress
    for one, other in zip(whole.weights, parts.weights, strict=True):
        assert torch.equal(one, other)
    start = training_of(OPTIONS, tmp_path / "none")
    assert not torch.equal(whole.weights[1], start.weights[1])


def test_the_learning_rate_rises_stays_and_falls(tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"steps": 100, "warmup": 10, "decay": 0.4, "learning_rate": 1.0})
    training = training_of(options, tmp_path)
    rates = [training.rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[10:61] == [1.0] * 51
    assert rates[80] == pytest.approx(0.5)
    assert rates[96:] == pytest.approx([0.1] * 4)


def test_a_training_may_be_prolonged_until_its_rate_falls(tmp_path: Path) -> None:
    trained(tmp_path / "steady", 2, OPTIONS.model_copy(update={"decay": 0.5}))
    longer = OPTIONS.model_copy(update={"steps": 8, "decay": 0.5})
    assert training_of(longer, tmp_path / "steady").progress.step == 2
    trained(tmp_path / "falling", 2, OPTIONS.model_copy(update={"decay": 0.75}))
    with pytest.raises(UserError, match="was trained with steps '4', not '8'"):
        training_of(longer.model_copy(update={"decay": 0.75}), tmp_path / "falling")


def test_processes_share_an_update(tmp_path: Path) -> None:
    """Two halves of the pages, summed, move the weights as all pages do."""
    whole = training_of(OPTIONS, tmp_path)
    whole._update()
    vectors: list[torch.Tensor] = []
    halves = [
        training_of(OPTIONS, tmp_path, rank=rank, processes=2, combine=vectors.append) for rank in (0, 1)
    ]
    halves[0]._update()

    def combine(vector: torch.Tensor) -> None:
        vector += other

    other = vectors[0].clone()
    second = training_of(OPTIONS, tmp_path, rank=1, processes=2, combine=combine)
    second._update()
    for one, two in zip(whole.weights, second.weights, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


def test_other_options_do_not_continue_a_training(tmp_path: Path) -> None:
    trained(tmp_path, 2)
    with pytest.raises(
        UserError, match=r"was trained with rank '2', not '3'; give the same options to go on"
    ):
        training_of(OPTIONS.model_copy(update={"rank": 3}), tmp_path)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    trained(tmp_path, 2)
    (tmp_path / checkpoint.STATE).write_text("{", "utf-8")
    with pytest.raises(UserError, match=r"checkpoint.json: is damaged"):
        training_of(OPTIONS, tmp_path)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model as a folder."""
    folder = tmp_path_factory.mktemp("base")
    model = fresh()
    model.model.set_attn_implementation("sdpa")
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    """An adapter for it, trained a little."""
    options = OPTIONS.model_copy(update={"model": str(base), "learning_rate": 0.02})
    model = load(str(base), device="cpu", dtype="float32")
    training = training_of(options, tmp_path, model)
    training.run(lambda line: None)
    checkpoint.save_adapter(tmp_path, training)
    return tmp_path


def test_an_adapter_is_loaded_as_it_was_trained(base: Path, adapter: Path) -> None:
    rows = [Row((5, 6, 7), ((8, 9), (10,)))]
    tuned, plain = (load(str(path), device="cpu", dtype="float32") for path in (adapter, base))
    options = OPTIONS.model_copy(update={"model": str(base), "learning_rate": 0.02})
    training = training_of(options, adapter, load(str(base), device="cpu", dtype="float32"))
    expected = training.model.log_probs(Prefix(), rows)[0][0]
    torch.testing.assert_close(tuned.log_probs(Prefix(), rows)[0][0], expected, rtol=5e-3, atol=5e-3)
    assert not torch.allclose(plain.log_probs(Prefix(), rows)[0][0], expected, rtol=5e-3, atol=5e-3)
    assert tuned.fingerprint != plain.fingerprint
    assert tuned_from(str(adapter)) == str(base)
    assert tuned_from(str(base)) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "only LORA adapters without bias can be merged, not IA3"),
        ({"use_dora": True}, "use_dora is not supported"),
        ({"base_fingerprint": "0123"}, "was tuned on weights '0123', but its base model is"),
        ({"r": 0}, "names no base model or no rank"),
        ({"lora_alpha": "much"}, "is not an adapter's configuration"),
    ],
)
def test_adapters_of_another_kind_are_refused(
    adapter: Path, changes: dict[str, object], message: str
) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    (adapter / "adapter_config.json").write_text(json.dumps({**config, **changes}), "utf-8")
    with pytest.raises(ModelError, match=message):
        load(str(adapter), device="cpu", dtype="float32")


def test_tensors_that_do_not_fit_are_named(adapter: Path) -> None:
    file = adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    name = next(key for key in tensors if key.endswith("lora_B.weight"))
    for change, message in (
        ({name: torch.zeros(3, 2, dtype=torch.float16)}, r"is \(3, 2\) times"),
        ({"other.weight": torch.zeros(2, 2)}, "'other.weight' is no matrix of a LoRA adapter"),
        ({"base_model.model.no.layer.lora_A.weight": torch.zeros(2, 2)}, "has only one of its two matrices"),
    ):
        save_file({**tensors, **change}, file)
        with pytest.raises(ModelError, match=message):
            load(str(adapter), device="cpu", dtype="float32")
    file.write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="cannot be read"):
        load(str(adapter), device="cpu", dtype="float32")


ORPHAN = """
import multiprocessing, time
from testbed.tuning.processes import end_with_parent

def child():
    end_with_parent()
    print("ready", flush=True)
    time.sleep(100)

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=child)
    process.start()
    process.join()
"""


@pytest.mark.slow
def test_processes_do_not_outlive_the_one_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN, "utf-8")
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    assert parent.stdout.readline() == "ready\n"
    parent.kill()
    begun = time.monotonic()
    assert parent.stdout.read() == ""  # ends when no process holds the pipe any more
    assert time.monotonic() - begun < 50

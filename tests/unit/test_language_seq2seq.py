"""Encoder-decoder models: token trees equal teacher forcing, and loading refuses what is of another kind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import LlamaConfig, T5Config

from testbed.environment import Environment
from testbed.errors import ModelError
from testbed.language import load
from testbed.language.fingerprint import fingerprint
from testbed.language.load_seq2seq import load_seq2seq
from testbed.language.selfcheck import check_decoder_numbers
from testbed.language.seq2seq import EncoderDecoder
from testbed.language.seq2seq_tree import SourceTrees
from testbed.language.tree import Growth, TokenTree, TreeModel
from testbed.testing import ToyEnvironment, tiny_encoder_decoder, tiny_tokenizer
from testbed.testing.tiny_seq2seq import SEQ2SEQ, tiny_seq2seq_network

CLOSE = {"rtol": 1e-5, "atol": 1e-4}
NETWORKS = {family: tiny_seq2seq_network(family) for family in SEQ2SEQ}
CONTEXTS = {"bart": (2, 1), "t5": (0,)}
PATHS = ((5,), (5, 6), (5, 6, 7), (5, 9, 7), (8, 6), (0, 6, 2, 6))


def some_tokens(count: int, seed: int = 0) -> tuple[int, ...]:
    return tuple(int(token) for token in np.random.default_rng(seed).integers(3, 370, count))


def plain(family: str, source: Sequence[int], path: Sequence[int]) -> Tensor:
    """Log-probabilities behind a path by teacher forcing of the untouched network."""
    ids, own = torch.tensor([list(source)]), torch.tensor([[*CONTEXTS[family], *path]])
    with torch.no_grad():
        logits = NETWORKS[family](input_ids=ids, decoder_input_ids=own).logits[0, -1]
    return logits.float().log_softmax(-1)


def check(trees: TreeModel, tree: TokenTree, family: str) -> None:
    (found,) = trees.log_probs([(tree, range(len(tree)))])
    assert found.dtype == torch.float32
    assert found.shape == (len(tree), trees.vocabulary)
    for node, row in enumerate(found):
        torch.testing.assert_close(row, plain(family, tree.prompt, tree.path(node)), **CLOSE)


def model_of(family: str, **options: Any) -> EncoderDecoder:
    network, tokenizer = tiny_seq2seq_network(family), tiny_tokenizer()
    return EncoderDecoder(model=network, tokenizer=tokenizer, name="x", fingerprint="x", **options)


@pytest.mark.parametrize("budget", [1, 50, 4096])
@pytest.mark.parametrize("family", SEQ2SEQ)
def test_nodes_equal_teacher_forcing(family: str, budget: int) -> None:
    """Sources of several lengths in one pass, grown twice; answers differ between sources and paths."""
    trees = SourceTrees(model_of(family, token_budget=budget))
    sources = [some_tokens(length, length) for length in (7, 1, 20)]
    started = trees.start(sources)
    for paths in (PATHS[:3], PATHS):
        trees.grow([Growth.of(tree, paths) for tree in started])
    for tree, source in zip(started, sources, strict=True):
        assert tree.prompt == source
        check(trees, tree, family)
    roots = trees.log_probs([(tree, [0]) for tree in started])
    assert not torch.allclose(roots[0], roots[2], atol=0.1)


steps = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 9)), max_size=9)


@given(st.sampled_from(SEQ2SEQ), st.integers(1, 30), st.lists(steps, max_size=3))
@settings(max_examples=15)
def test_trees_of_any_shape(family: str, length: int, rounds: list[list[tuple[int, int]]]) -> None:
    trees = SourceTrees(tiny_encoder_decoder(family))
    (tree,) = trees.start([some_tokens(length)])
    for turn in rounds:
        parents = [number % (len(tree) + at) for at, (number, _) in enumerate(turn)]
        growth = Growth(tree, parents, [token for _, token in turn])
        before = len(tree)
        (nodes,) = trees.grow([growth])
        for parent, node, (_, token) in zip(parents, nodes, turn, strict=True):
            above = parent if parent < before else nodes[parent - before]
            assert tree.child(above, token) == node
    check(trees, tree, family)


@pytest.mark.parametrize("family", SEQ2SEQ)
def test_the_root_is_where_generation_is_free(family: str) -> None:
    """transformers' own `generate` begins with the context, and its next scores are the root's."""
    model = tiny_encoder_decoder(family)
    assert model.context == CONTEXTS[family]
    source = some_tokens(9)
    found = NETWORKS[family].generate(
        torch.tensor([source]), max_new_tokens=3, do_sample=False, num_beams=1,
        return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    begun = len(model.context)
    assert tuple(found.sequences[0, :begun].tolist()) == model.context
    trees = SourceTrees(model)
    (tree,) = trees.start([source])
    wanted = found.logits[begun - 1][0].log_softmax(-1)
    torch.testing.assert_close(trees.log_probs([(tree, [0])])[0][0], wanted, **CLOSE)


def test_a_model_that_names_no_start() -> None:
    network = tiny_seq2seq_network("t5")
    network.generation_config.decoder_start_token_id = None
    with pytest.raises(ModelError, match="model x: its generation settings name no decoder_start_token_id"):
        EncoderDecoder(model=network, tokenizer=tiny_tokenizer(), name="x", fingerprint="x")
    network.generation_config.bos_token_id = 1  # what transformers falls back to
    model = EncoderDecoder(model=network, tokenizer=tiny_tokenizer(), name="x", fingerprint="x")
    assert model.context == (1,)


def test_what_is_known_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = SourceTrees(model_of("bart"))
    (tree,) = trees.start([some_tokens(12)])
    (first,) = trees.grow([Growth.of(tree, PATHS)])
    early = trees.log_probs([(tree, [0, 3])])[0]
    monkeypatch.setattr(trees.model.model, "forward", None)
    assert trees.grow([Growth.of(tree, PATHS)]) == [first]
    assert torch.equal(trees.log_probs([(tree, [0, 3])])[0], early)
    rows = trees.token_log_probs([Growth(tree, [0, 3], [9, 9])])[0]
    torch.testing.assert_close(rows, early[:, 9])


def test_out_of_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = SourceTrees(model_of("t5", token_budget=400))
    decoded = trees.model.decoded

    def cramped(encoded: Sequence[Tensor], texts: Sequence[Sequence[int]]) -> list[Tensor]:
        if len(texts) > 2:
            raise torch.OutOfMemoryError
        return decoded(encoded, texts)

    monkeypatch.setattr(trees.model, "decoded", cramped)
    started = trees.start([some_tokens(12), some_tokens(10)])
    with pytest.warns(UserWarning, match="model x: out of memory; going on with 50 tokens at a time"):
        trees.grow([Growth.of(tree, PATHS) for tree in started])
    for tree in started:
        check(trees, tree, "t5")


def test_refusals() -> None:
    trees = SourceTrees(tiny_encoder_decoder("bart"))
    (tree,) = trees.start([some_tokens(64)])
    with pytest.raises(
        ModelError, match="model tiny-bart: 65 tokens are more than the 64 that its encoder takes"
    ):
        trees.start([some_tokens(65)])
    with pytest.raises(
        ModelError, match="model tiny-bart: 65 tokens are more than the 64 that its decoder takes"
    ):
        trees.grow([Growth.of(tree, [some_tokens(63)])])
    assert len(tree) == 1
    trees.grow([Growth.of(tree, [some_tokens(62)])])
    assert ToyEnvironment().encoder_decoder("bart-base") is tiny_encoder_decoder("bart")
    assert ToyEnvironment().encoder_decoder("t5") is tiny_encoder_decoder("t5")
    with pytest.raises(ValueError, match="unknown family 'gpt2'; there are bart, t5"):
        tiny_encoder_decoder("gpt2")
    with pytest.raises(ValueError, match="a prompt has at least one token"):
        trees.start([()])
    with pytest.raises(ValueError, match="a tree belongs to the model that started it"):
        SourceTrees(tiny_encoder_decoder("t5")).grow([Growth(tree, [0], [5])])
    assert trees.start([]) == trees.grow([]) == []
    assert trees.ends == {2}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for family in SEQ2SEQ:
        made[family] = tmp_path_factory.mktemp(family)
        tiny_seq2seq_network(family).save_pretrained(made[family])
        tiny_tokenizer().save_pretrained(made[family])
    return made


@pytest.mark.parametrize("family", SEQ2SEQ)
def test_a_local_folder(family: str, folders: dict[str, Path]) -> None:
    folder = folders[family]
    model = Environment(device="cpu", dtype="float32").encoder_decoder(str(folder))
    assert (model.name, model.fingerprint) == (str(folder), fingerprint(folder))
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)
    assert model.context == CONTEXTS[family]
    assert not any(weight.requires_grad for weight in model.model.parameters())
    assert model.encode("coffee machine") == model.source("coffee machine")  # this tokenizer adds nothing
    assert model.decode(model.encode("coffee machine")) == "coffee machine"
    assert len(model.pieces) == model.vocabulary
    trees = SourceTrees(model)
    (tree,) = trees.start([some_tokens(6)])
    trees.grow([Growth.of(tree, PATHS)])
    check(trees, tree, family)


def test_bare_weights_and_settings_of_old_files(folders: dict[str, Path], tmp_path: Path) -> None:
    """As bart-base comes: saved without a head, with what generation forces in config.json."""
    copy = Path(shutil.copytree(folders["bart"], tmp_path / "copy"))
    (copy / "generation_config.json").unlink()
    config: dict[str, Any] = json.loads((copy / "config.json").read_text())
    config |= {"architectures": ["BartModel"], "forced_bos_token_id": 1}
    (copy / "config.json").write_text(json.dumps(config))
    assert load_seq2seq(str(copy), device="cpu", dtype="float32").context == (2, 1)


def refusal(model: str | Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_seq2seq(str(model), device="cpu", dtype="float32")
    return str(caught.value)


def test_models_of_another_kind(tmp_path: Path, folders: dict[str, Path]) -> None:
    assert refusal("smollm2-135m") == (
        "model 'smollm2-135m' is a language model, not an encoder-decoder model; give a folder or a hub id"
    )
    assert "'minilm' is an encoder, not an encoder-decoder" in refusal("minilm")
    (tmp_path / "model.safetensors").touch()
    LlamaConfig(architectures=["LlamaForCausalLM"]).save_pretrained(tmp_path)
    assert refusal(tmp_path) == (
        f"model {tmp_path}: LlamaForCausalLM is not an encoder-decoder model; "
        "give one that reads a text and writes another (…ForConditionalGeneration: BART, T5)"
    )
    T5Config(architectures=["T5ForSequenceClassification"]).save_pretrained(tmp_path)
    assert "T5ForSequenceClassification is not an encoder-decoder language model" in refusal(tmp_path)
    with pytest.raises(ModelError) as caught:
        load(str(folders["bart"]), device="cpu")
    assert "BartForConditionalGeneration is an encoder-decoder model; give one that predicts" in str(
        caught.value
    )


def test_what_is_no_model(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"model {tmp_path}: there is no config.json in this folder"
    T5Config(architectures=["T5ForConditionalGeneration"]).save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    assert refusal(tmp_path) == f"model {tmp_path}: there are no .safetensors weights in this folder"
    file = tmp_path / "x.gguf"
    file.touch()
    assert refusal(file) == f"model {file}: is a file; an encoder-decoder model is a folder with config.json"
    assert refusal("./nothing") == "model './nothing': there is no such folder"
    assert refusal("two words") == "model 'two words': is neither a folder nor a hub id"
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    assert refusal(adapter).endswith("an adapter; merge it into its encoder-decoder model and save that")


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path, folders: dict[str, Path]) -> None:
    copy = Path(shutil.copytree(folders["t5"], tmp_path / "copy"))
    config: dict[str, Any] = json.loads((copy / "config.json").read_text())
    config["model_type"] = "unheard_of"
    config["auto_map"] = {"AutoConfig": "code.Config", "AutoModelForSeq2SeqLM": "code.Model"}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert refusal(copy).startswith(f"model {copy}: ")
    assert not (tmp_path / "ran").exists()


def test_a_model_that_trees_do_not_reproduce(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("bart")
    check_decoder_numbers(model)
    monkeypatch.setattr(model, "context", (5, 6))
    check_decoder_numbers(model)  # both sides read it
    monkeypatch.setattr(model, "logits", lambda states: model.model.lm_head(states).float())
    with pytest.raises(ModelError, match=r"model x: models of type 'bart' cannot be run yet: .* \(off by "):
        check_decoder_numbers(model)
    monkeypatch.setattr(model, "encoded", None)
    with pytest.raises(ModelError, match=r"cannot be run yet \('NoneType' object is not callable\)"):
        check_decoder_numbers(model)

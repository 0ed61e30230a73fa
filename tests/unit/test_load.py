"""Loading language models from folders, files and the hub; with a model of a few thousand weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, T5Config

from testbed.errors import ModelError
from testbed.language import load
from testbed.language.fingerprint import fingerprint
from testbed.language.load import looks_like_path, read, read_hub, with_padding


def tiny_tokenizer(**special: str) -> PreTrainedTokenizerFast:
    words = ["<unk>", "<end>", "best", "coffee", "machine", "the"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", **special)


def save_tiny(folder: Path, seed: int = 0) -> Path:
    config = LlamaConfig(
        vocab_size=6,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = LlamaForCausalLM(config)
    network.save_pretrained(folder)
    tiny_tokenizer(eos_token="<end>").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


def refusal(model: str | Path) -> str:
    with pytest.raises(ModelError) as caught:
        read(str(model), torch.float32, Path("unused"))
    return str(caught.value)


def test_a_local_folder(tiny: Path) -> None:
    model = load(str(tiny), device="cpu", dtype="float32")
    assert model.name == str(tiny)
    assert model.device == torch.device("cpu")
    assert model.dtype == torch.float32
    assert model.fingerprint == fingerprint(tiny)
    assert not any(weight.requires_grad for weight in model.model.parameters())
    assert not model.model.training
    assert model.encode("best coffee") == [2, 3]


def test_dtype_reaches_the_weights(tiny: Path) -> None:
    assert load(str(tiny), device="cpu", dtype="bf16").model.dtype == torch.bfloat16


def test_without_chat_template_and_padding_token(tiny: Path) -> None:
    tokenizer = load(str(tiny), device="cpu").tokenizer
    assert tokenizer.chat_template is None
    assert tokenizer.pad_token == "<end>"


def test_padding_falls_back_to_token_zero() -> None:
    assert with_padding(tiny_tokenizer()).pad_token_id == 0
    assert with_padding(tiny_tokenizer(pad_token="the", eos_token="<end>")).pad_token == "the"


def test_fingerprint_tells_models_apart(tiny: Path, tmp_path: Path) -> None:
    assert fingerprint(save_tiny(tmp_path / "same")) == fingerprint(tiny)
    assert fingerprint(save_tiny(tmp_path / "other", seed=1)) != fingerprint(tiny)


def test_fingerprint_sees_a_change_in_the_chat_template(tiny: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny, tmp_path / "copy"))
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    assert fingerprint(copy) != fingerprint(tiny)


def test_fingerprint_samples_large_files_to_their_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("testbed.language.fingerprint.WHOLE", 1000)
    monkeypatch.setattr("testbed.language.fingerprint.SAMPLE", 8)
    monkeypatch.setattr("testbed.language.fingerprint.SAMPLES", 4)
    prints = set()
    content = bytes(range(256)) * 16
    for changed in (None, 0, len(content) - 1, (len(content) - 8) // 3):
        data = bytearray(content)
        if changed is not None:
            data[changed] ^= 1
        (tmp_path / "model.gguf").write_bytes(data)
        prints.add(fingerprint(tmp_path / "model.gguf"))
    assert len(prints) == 4


@pytest.mark.parametrize("name", ["./models/x", "/models/x", "~/x", "a/b/c", "x.gguf", "../x"])
def test_missing_paths(name: str) -> None:
    assert looks_like_path(name)
    assert refusal(name) == f"model {name!r}: there is no such file or folder"


def test_unknown_packaged_name() -> None:
    assert refusal("smollm2-153m") == (
        "model 'smollm2-153m': no packaged model is called so; did you mean 'smollm2-135m'? "
        "(or give a folder, a .gguf file or a hub id)"
    )
    assert "there are smollm2-135m, smollm2-135m-recommender, minilm" in refusal("two words")


def test_an_encoder_is_no_language_model() -> None:
    assert refusal("minilm") == "model 'minilm' is an encoder, not a language model"


def test_a_file_that_is_not_gguf(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(b"<html>")
    assert refusal(file) == f"{file}: is not a GGUF file; give a GGUF file or a folder with config.json"


def test_a_gguf_file_that_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(b"GGUF\x03\x00\x00\x00")
    assert refusal(file).startswith(f"{file}: transformers cannot read this GGUF file: ")


def test_folders_that_are_not_models(tmp_path: Path, tiny: Path) -> None:
    assert refusal(tmp_path) == f"model {tmp_path}: there is no config.json in this folder"
    (tmp_path / "config.json").write_text((tiny / "config.json").read_text())
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    assert refusal(tmp_path) == f"model {tmp_path}: there are no .safetensors weights in this folder"


def test_encoder_decoder_and_encoder_models(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    T5Config(architectures=["T5ForConditionalGeneration"]).save_pretrained(tmp_path)
    assert refusal(tmp_path) == (
        f"model {tmp_path}: T5ForConditionalGeneration is an encoder-decoder model; "
        "give one that predicts the next token (…ForCausalLM)"
    )
    BertConfig(architectures=["BertForMaskedLM"]).save_pretrained(tmp_path)
    assert "BertForMaskedLM is not a causal language model" in refusal(tmp_path)


def test_weights_that_are_cut_or_incomplete(tmp_path: Path, tiny: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = Path(shutil.copytree(tiny, tmp_path / "copy"))
    weights = copy / "model.safetensors"
    tensors = load_file(weights)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, weights, metadata={"format": "pt"})
    assert refusal(copy) == f"model {copy}: its files lack the weights model.layers.1.mlp.up_proj.weight"
    weights.write_bytes(weights.read_bytes()[:400])
    assert refusal(copy).startswith(f"model {copy}: ")


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path, tiny: Path) -> None:
    copy = Path(shutil.copytree(tiny, tmp_path / "copy"))
    config: dict[str, Any] = json.loads((copy / "config.json").read_text())
    config["model_type"] = "unheard_of"
    config["auto_map"] = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert refusal(copy).startswith(f"model {copy}: ")
    assert not (tmp_path / "ran").exists()


def test_a_hub_model_that_is_not_here_while_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        read_hub("nobody/no-such-model", torch.float32)
    assert str(caught.value) == (
        "model nobody/no-such-model: it is not in the local cache and the hub cannot be reached; download it "
        "while online (`hf download`), give a local folder, or use a packaged model "
        "(smollm2-135m, smollm2-135m-recommender, minilm)"
    )

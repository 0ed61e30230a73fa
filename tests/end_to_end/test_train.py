"""`testbed train recommender` as a user calls it, on a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.language import load
from testbed.locks import locked
from testbed.testing.tiny import tiny_network, tiny_tokenizer


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testbed.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    network = tiny_network("llama")
    network.set_attn_implementation("sdpa")
    network.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_train_an_adapter_with_a_card(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    settings = {
        "model": base,
        "steps": 2,
        "lists": 2,
        "rank": 2,
        "first_layer": 1,
        "workers": 2,
    }
    settings |= {"validation_pages": 2, "measured_pages": 1}
    command = ["train", "recommender", "--out", str(out), "--device", "cpu", "--threads", "1"]
    command += [f"--set={name}={value}" for name, value in settings.items()]
    first = call(*command)
    assert first.returncode == 0, first.stderr
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2]
    card = (out / "README.md").read_text("utf-8")
    assert f"--set model={base}" in card
    for who in ("random", "untuned", "tuned"):
        assert card.count(f"| {who} |") == 3
    tuned, plain = load(str(out), device="cpu"), load(str(base), device="cpu")
    assert tuned.fingerprint != plain.fingerprint

    again = call(*command)
    assert again.returncode == 0, again.stderr
    assert len((out / "log.jsonl").read_text("utf-8").splitlines()) == len(lines)

    with locked(out, "folder"):
        busy = call(*command)
    assert (busy.returncode, busy.stderr) == (
        2,
        f"{out}: another process is running here; wait for it or choose another --out\n",
    )

    other = call(*command, "--set=rank=3")
    assert other.returncode == 2
    assert "was trained with rank '2', not '3'" in other.stderr
    assert "Traceback" not in other.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recomender"], "unknown trainer 'recomender' (known: "),
        (["recomender"], "); did you mean 'recommender'?"),
        (["recommender", "--set", "stps=3"], "stps: unknown key 'stps'; did you mean 'steps'?"),
        (["recommender", "--set", "rank=0"], "rank: expected a number from 1, got the number 0"),
        (["recommender", "--set", "rank"], "expected KEY=VALUE, for instance steps=200"),
        (["recommender", "--rank", "0"], "rank: expected a number from 1, got the number 0"),
        (["recommender", "--learning-rat=1"], "unknown key 'learning_rat'; did you mean 'learning_rate'?"),
        (["recommender", "--rank"], "--rank needs a value"),
        (["recommender", "rank"], "expected --name VALUE, got 'rank'"),
        (["goals", "--los=mse"], "los: unknown key 'los'; did you mean 'loss'?"),
        (["goals", "--loss=mse"], "testbed train goals: data: this key is missing"),
    ],
)
def test_wrong_settings_are_named(arguments: list[str], message: str, tmp_path: Path) -> None:
    found = call("train", *arguments, "--out", str(tmp_path / "x"))
    assert found.returncode == 2
    assert message in found.stderr
    assert not (tmp_path / "x").exists()

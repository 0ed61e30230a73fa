"""benchmarks/goals.py: its sets, its figures, and that it goes on where it was."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from testbed.environment import Environment
from testbed.errors import UserError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def _on_path() -> Iterator[None]:
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


class Letters:
    """An encoder by counts of letters."""

    fingerprint, dimensions = "letters", 27

    def encode(self, texts: list[str]) -> np.ndarray:
        found = np.ones((len(texts), 27), np.float32)
        for row, text in enumerate(texts):
            for letter in text:
                found[row, ord(letter) % 27] += 1
        return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture
def daily(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Environment, "encoder", lambda self, name: Letters())
    rng = np.random.default_rng(0)
    folder = tmp_path / "daily"
    folder.mkdir()
    for name, count in (("train", 30), ("validation", 12), ("test", 12)):
        lines = []
        for _ in range(count):
            turns = ["".join(rng.choice(list("abcdefgh"), size=6)) for _ in range(int(rng.integers(8, 16)))]
            lines.append(" __eou__ ".join(turns) + " __eou__")
        if name == "test":
            lines[0] = (folder / "dialogues_train.txt").read_text("utf-8").splitlines()[0]
        (folder / f"dialogues_{name}.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def sample(folder: Path, candidates: list[Any]) -> None:
    from planning.sets import SAMPLE

    pl.DataFrame({"Candidate": ["aaa"], "Goal": [" aab "], "GPT_candidates": [candidates]}).write_parquet(
        folder / SAMPLE
    )


def test_what_is_measured_is_not_measured_again(
    daily: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import goals

    sample(daily, ["fff", "ggg", "aaa"])
    command = [
        "--dailydialog",
        str(daily),
        "--folder",
        str(tmp_path / "out"),
        "--seeds",
        "2",
        "--set=epochs=2",
    ]
    goals.main(command)
    first = capsys.readouterr().out
    assert "### DailyDialog, as published\n\n30 training dialogues; 2 seeds" in first
    assert "### DailyDialog, de-duplicated\n\n29 training dialogues; 2 seeds" in first
    log = (tmp_path / "out" / "log.jsonl").read_text("utf-8")
    entries = [json.loads(line) for line in log.splitlines()]
    assert [entry["row"] for entry in entries[:5]] == [
        "plain cosine",
        *["heads, mse"] * 2,
        *["heads, softmax+margin"] * 2,
    ]
    assert len(entries) == 10
    plain = entries[0]
    assert set(plain["direction"]["1"]) == {0.5}
    assert plain["stp"] == [1.5]  # a generated reply is the true one
    assert len(plain["next"]["1"]) == 12
    goals.main(command)
    assert capsys.readouterr().out == first
    assert (tmp_path / "out" / "log.jsonl").read_text("utf-8") == log
    goals.main([*command, "--rows", "mse"])
    assert "softmax" not in capsys.readouterr().out
    goals.main([*command, "--only", "as published", "--set=margin=0.3"])
    assert len((tmp_path / "out" / "log.jsonl").read_text("utf-8").splitlines()) == 15


def test_differences_from_plain_cosine_are_paired() -> None:
    from planning.tables import cell, interval

    entries = [{"stp": [3.0, 5.0, 10.0]}, {"stp": [4.0, 5.0, 9.0]}]
    found = interval(entries, lambda one: one["stp"], [5.0, 5.0, 5.0])
    assert found.estimate == pytest.approx(1.0)
    assert cell(found, signed=True).startswith("+1.0 [")
    assert cell(interval([{"a": [1.0, 0.0]}], lambda one: one["a"])).startswith("0.500 [")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --dailydialog, --redial or both"),
        (["--redial", "x", "--seeds", "0"], "--seeds: must be at least 1"),
        (["--redial", "x", "--set", "loss=mse"], "loss is set by the rows and the other arguments"),
        (["--redial", "x", "--set", "margn=1"], "--set margn: "),
        (["--redial", "x", "--set", "margin"], "'margin' is not NAME=VALUE"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import goals

    with pytest.raises(SystemExit) as caught:
        goals.main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_sample_that_is_none_is_named(daily: Path) -> None:
    from planning.sets import SAMPLE, cases

    (daily / SAMPLE).write_text("no parquet", "utf-8")
    with pytest.raises(UserError, match="is no sample of replies"):
        cases(daily / SAMPLE)
    sample(daily, [None])
    with pytest.raises(UserError, match="is no sample of replies"):
        cases(daily / SAMPLE)

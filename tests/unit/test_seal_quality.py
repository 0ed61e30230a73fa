"""benchmarks/seal_quality.py: its rows, its figures, and that it goes on where it was."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import beir_folder
import numpy as np
import pytest

from catalogs.loaders.beir import Beir
from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.errors import UserError
from testbed.types import Item, Request

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def _on_path() -> Iterator[None]:
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Beir(path=beir_folder.write(tmp_path / "small"), split="test").load()


def test_rows_are_measured_once_and_fused_from_the_log(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.log import Log
    from retrieval import scores
    from retrieval.rows import rows

    env = Environment(device="cpu", threads=1)
    every = rows({}, {}, env, dense=False)
    assert [row.name for row in every] == [
        "BM25", "no model, LM+FM", "no model, intersective", "no model, chosen", "BM25 + no model, chosen",
    ]  # fmt: skip
    path = tmp_path / "log.jsonl"
    some, everyone = scores.asked(catalog, 2), scores.asked(catalog, None)
    assert some == everyone[:2]
    assert len(everyone) == 4
    scores.measure(catalog, every, some, env, Log(path))
    before = path.read_text()
    assert len(before.splitlines()) == 8
    scores.measure(catalog, every, everyone, env, Log(path))
    lines = path.read_text().splitlines()
    assert path.read_text().startswith(before)
    assert len(lines) == 16
    found = [scores.values(catalog, row, every, everyone, Log(path)) for row in every]
    assert found[0].of["nDCG@10"].tolist() == [1.0] * 4
    assert found[2].of["reached"].tolist() == [1.0] * 4
    assert found[4].of["nDCG@10"].tolist() == [1.0] * 4
    assert np.isnan(found[4].of["reached"]).all()

    def never(*_: Any) -> None:
        raise AssertionError("nothing is left to measure")

    monkeypatch.setattr(scores.Retrievers, "__call__", never)
    scores.measure(catalog, every, everyone, env, Log(path))


def test_held_out_queries_are_those_that_a_training_leaves_out() -> None:
    from retrieval import scores

    from retrievers.seal.tuning.lessons import Split
    from retrievers.seal.tuning.options import SealTrainer

    requests = [Request(f"r{number}", "wine") for number in range(60)]
    items = [Item("a", {"Name": "wine"})]
    judged = Catalog.of(
        items,
        name="c",
        name_field="Name",
        requests=requests,
        judgements={one.id: {"a": 1} for one in requests},
    )
    share, seed = (SealTrainer.model_fields[name].default for name in ("held_out", "seed"))
    split = Split.of(judged, share, seed)
    found = scores.asked(judged, None, held_out=True)
    assert 0 < len(found) < 60
    assert set(found) == set(split.held_out)
    assert scores.asked(judged, 2, held_out=True) == found[:2]


def test_other_options_are_measured_anew() -> None:
    from retrieval.rows import rows

    env = Environment(device="cpu", threads=1)
    one, other = rows({}, {}, env, dense=False), rows({}, {"alpha": 1.0}, env, dense=False)
    same = [a.digest() == b.digest() for a, b in zip(one, other, strict=True)]
    assert same == [True, False, False, True, True]


def test_the_table_compares_what_all_rows_have() -> None:
    from retrieval.rows import Row
    from retrieval.scores import MEASURES, Values
    from retrieval.table import markdown

    def made(name: str, measured: list[float]) -> Values:
        return Values(Row(name), {one: np.array(measured) for one in (*MEASURES, "reached")})

    nan = float("nan")
    found = [
        made("BM25", [0.5, 0.7] * 10),
        made("no model, chosen", [0.4, 0.5] * 10),
        made("tuned", [0.9, 0.8] * 9 + [nan, nan]),
        made("unmeasured", [nan] * 20),
    ]
    text = markdown(found, 20)
    assert text.startswith("20 of 20 queries;")
    whole, some = text.split("18 of 20 queries;")
    assert "| BM25 | 0.600 [" in whole
    assert "tuned" not in whole
    assert "| BM25 | 0.600 [" in some
    row = next(line for line in text.splitlines() if line.startswith("| tuned |"))
    assert "| +0.250 [" in row
    assert "| +0.400 [" in row
    assert row.count("< .001") == 2
    assert "unmeasured" not in text
    assert markdown(found[2:3], 20).startswith("18 of 20 queries;")
    assert markdown(found[3:], 20) == "nothing is measured yet"


def test_a_table_is_written_between_the_marks_of_a_page(tmp_path: Path) -> None:
    from retrieval.table import BEGIN, END, write

    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(page, "new")
    write(page, "newer")
    assert page.read_text() == f"before\n{BEGIN}\nnewer\n{END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(UserError, match=r"page.md: has no <!-- measured: begin --> … "):
        write(page, "new")


def test_the_command_line_names_models_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    from seal_quality import arguments

    given = arguments(["data", "--model", "a=b", "--model", "c=d/e=f", "--set", "alpha=1.5"])
    assert given.model == [("a", "b"), ("c", "d/e=f")]
    assert given.set == [("alpha", 1.5)]
    assert arguments(["data"]).model == [("zero-shot", "smollm2-135m")]
    assert arguments(["data", "--set", "beta=0"]).set == [("beta", 0)]
    for wrong, message in (
        (["--set", "alfa=1"], "--set alfa: Extra inputs are not permitted"),
        (["--set", "k=5"], "k is set by the rows themselves"),
        (["--set", "beta=["], "'beta=[' is not YAML"),
        (["--limit", "0"], "--limit: must be at least 1"),
    ):
        with pytest.raises(SystemExit) as caught:
            arguments(["data", *wrong])
        assert caught.value.code == 2
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        arguments(["data", "--model", "nothing"])

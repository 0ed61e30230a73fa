"""The parts of benchmarks/ngram_index.py that numbers rest on; the peer is not needed for any of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrievers.seal.index import NgramIndex

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def _on_path() -> Iterator[None]:
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


def small() -> Any:
    from ngrams.text import zipfian

    return zipfian(5000, types=300)


def test_made_up_text_is_the_same_again_and_has_phrases() -> None:
    from ngrams.text import Corpus, zipfian

    corpus = zipfian(30_000, types=500)
    assert len(corpus) == corpus.starts[-1] == 30_000
    assert (np.diff(corpus.starts)[:-1] >= 100).all()
    assert np.diff(corpus.starts).max() <= 300
    assert corpus.tokens.max() < 500
    assert (corpus.tokens == zipfian(30_000, types=500).tokens).all()
    assert (corpus.tokens != zipfian(30_000, seed=1, types=500).tokens).any()
    rng = np.random.default_rng(0)
    drawn = Corpus(rng.permutation(corpus.tokens), corpus.starts)
    longest = [
        NgramIndex.build(one.documents()).find(one.sample(500, 5, np.random.default_rng(1))).counts.mean()
        for one in (corpus, drawn)
    ]
    assert longest[0] > 1.2 * longest[1]


def test_sampled_ngrams_stand_within_documents(tmp_path: Path) -> None:
    from ngrams.text import Corpus, of

    corpus = of([[1, 2, 3], [4], [5, 6, 7, 8]])
    corpus.save(tmp_path / "some" / "text.npz")
    assert [body.tolist() for _, body in Corpus.load(tmp_path / "some" / "text.npz").documents()] == [
        [1, 2, 3], [4], [5, 6, 7, 8],
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    assert {tuple(one) for one in corpus.sample(200, 3, rng)} == {(1, 2, 3), (5, 6, 7), (6, 7, 8)}
    assert {tuple(one) for one in corpus.sample(200, 1, rng)} == {(token,) for token in range(1, 9)}


def test_measures_say_what_is_in_the_index(tmp_path: Path) -> None:
    from ngrams import measures

    corpus = small()
    index, built = measures.build(corpus, bigrams=True)
    assert built["tokens"] == 5000
    assert sum(built["parts"].values()) == built["bytes"] == index.arrays.nbytes
    assert built["parts"]["follower"] > 0
    steps = measures.steps(index, corpus, depth=2, beams=8, repeats=3)
    assert len(steps["us"]) == len(steps["best_us"]) == 3
    assert all(0 <= one <= both for one, both in zip(steps["us"], steps["best_us"], strict=True))
    assert 1 <= steps["children"] <= steps["rows"]
    assert measures.locate(index, corpus, repeats=2)["rows"] >= 256
    ways = measures.masks(index, corpus, beams=4, repeats=2)  # an error where they do not agree
    assert {name: len(values) for name, values in ways.items()} == {"mask": 2, "copy": 2, "gather": 2}
    written = measures.files(index, corpus, tmp_path, repeats=2)
    assert written["bytes"] > index.arrays.nbytes
    assert list(tmp_path.iterdir()) == []
    assert measures.edits(index, corpus, count=3, repeats=2)["documents"] == 3
    counts, widths = measures.answers(index, [corpus.tokens[:2].tolist(), [299, 299, 299]])
    assert (counts[0] > 0, counts[1], widths[1]) == (True, 0, 0)


def test_ways_to_the_best_continuations_that_differ_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from ngrams import measures

    corpus = small()
    monkeypatch.setattr(measures, "_by_gather", lambda children, scores: -measures._by_copy(children, scores))
    with pytest.raises(AssertionError, match="do not agree"):
        measures.masks(NgramIndex.build(corpus.documents()), corpus, beams=2, repeats=1)


def test_a_power_law_is_found_and_needs_three_large_sizes() -> None:
    from ngrams.extrapolation import fitted

    sizes = [1e6, 5e6, 1e7, 2e7]
    law = fitted(sizes, [99.0, *(3e-7 * size**1.1 for size in sizes[1:])])
    assert law
    assert (law.factor, law.exponent) == pytest.approx((3e-7, 1.1))
    assert law.error < 1e-9
    assert law(1e9) == pytest.approx(3e-7 * 1e9**1.1)
    assert fitted(sizes[:3], [1, 2, 3]) is None


def busy(seconds: float) -> int:
    since = time.process_time()
    while time.process_time() - since < seconds:
        pass
    return 7


def test_a_clock_counts_a_call_once_and_for_the_outer_one() -> None:
    from ngrams.stage import Clock, Watched

    class Inner:
        width = 3

        def work(self) -> int:
            return busy(0.02)

        def hand(self) -> Inner:
            return self

    class Outer:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def work(self) -> int:
            busy(0.02)
            return int(self.inner.work())

    clock = Clock()
    inner = Watched(Inner(), clock, "index", handed=("hand",))
    assert (inner.width, inner.work(), inner.hand().work()) == (3, 7, 7)
    assert clock.seconds["index"] == pytest.approx(0.04, abs=0.015)
    clock.seconds.clear()
    assert Watched(Outer(inner), clock, "model").work() == 7
    assert clock.seconds["model"] == pytest.approx(0.04, abs=0.015)
    assert "index" not in clock.seconds


def test_a_stage_on_the_clock_answers_as_before(tmp_path: Path) -> None:
    from ngrams.stage import on_clock

    from retrievers.seal import SEAL
    from retrievers.seal.stage import GenerativeRetriever
    from testbed.catalog import Catalog
    from testbed.environment import Environment
    from testbed.testing import tiny_language_model
    from testbed.types import Item

    texts = ["quiet coffee machine", "cheap tent for two people", "steel machine", "best coffee"]
    catalog = Catalog.of(
        [Item(f"i{row}", {"Name": f"item {row}", "Text": text}) for row, text in enumerate(texts)],
        name="words", name_field="Name", requests=[],
    )  # fmt: skip
    env = Environment(device="cpu", cache=tmp_path)
    options = SEAL(beams=3, length=3, scoring="lm")
    plain = GenerativeRetriever.with_model(catalog, options, tiny_language_model("llama"), env)
    stage, clock = on_clock(plain.asked_anew())
    (found,), (expected,) = stage.answers(["coffee"]), plain.answers(["coffee"])
    assert found.found.scores.tolist() == expected.found.scores.tolist()
    assert found.keys.ngrams == expected.keys.ngrams
    assert clock.seconds["model"] > clock.seconds["index"] > 0


def made_up_log(path: Path) -> Any:
    from engine.log import Log

    log = Log(path)
    log.add("options", options={"threads": 1, "repeats": 3, "peer_repeats": 1})
    built = {"tokens": 2_000_000, "cpu": 0.8, "wall": 0.9, "bytes": 20_000_000, "peak": 90.0}
    log.add("build/2M/with bigrams", **built)
    log.add("failed/2M/infini-gram", failed="no wheel")
    for depth, least in ((1, 8.0), (2, 1.5)):
        cell = {"us": [least, least + 1, least + 2], "best_us": [least + 3] * 3, "children": 5.0, "rows": 9.0}
        log.add(f"steps/2M/with bigrams/{depth}/256", **cell)
    log.add("locate/2M/with bigrams", us=[0.1, 0.2, 0.3], rows=1000)
    log.add("masks/2M/256", mask=[400.0], copy=[150.0], gather=[2.0])
    log.add("files/2M", bytes=20_000_000, save=0.1, verified=[0.02], mapped=[0.001], search=[0.003])
    log.add("edits/2M/10", cpu=[0.004], documents=10, before=[1.0], after=[4.0])
    for size in (5_000_000, 10_000_000, 20_000_000):
        grown = {**built, "tokens": size, "cpu": 4e-7 * size, "bytes": 10 * size}
        log.add(f"growth/{size}", **grown, **{"steps 1": {"us": [9.0]}}, locate={"us": [0.1]})
    spent = {"total": 2.0, "model": 1.8, "index": 0.02, "keys": 9, "found": 4, "listings": 50, "tokens": 900}
    log.add("stage/words/0", **spent)
    log.add("agreed/2M", compared=800, same=799)
    return log


def test_targets_are_held_against_the_medians(tmp_path: Path) -> None:
    from ngrams.targets import targets

    found = targets(made_up_log(tmp_path / "log.jsonl")).splitlines()
    assert [line.split(" | ")[-2:] for line in found[2:]] == [
        ["9 µs", "reached |"], ["2.5 µs", "**missed** |"], ["0.2 µs", "reached |"],
        ["10.0 at most", "reached |"], ["1.00 %", "reached |"], ["10.00 %", "**missed** |"],
    ]  # fmt: skip


def test_every_table_has_its_place_on_the_page(tmp_path: Path) -> None:
    from engine.tables import between
    from ngrams.tables import tables

    made = tables(made_up_log(tmp_path / "log.jsonl"))
    page = (BENCHMARKS.parent / "docs" / "ngram-index.md").read_text(encoding="utf-8")
    for name, table in made.items():
        page = between(page, name, table)
    assert "no wheel" in made["build"]
    assert "| 2M | ours, with bigrams | 256 | 9 (11) | 2.5 (4.5) |" in made["steps"]
    assert "4e-07 · n^1.000" in made["growth"]
    assert "| 1,000,000,000 | (400) | (10.0) |" in made["growth"]
    assert "799 of 800" in made["agreed"]


def test_plots_are_the_same_again(tmp_path: Path) -> None:
    from ngrams.plots import draw

    log = made_up_log(tmp_path / "log.jsonl")
    first = {path.name: path.read_bytes() for path in draw(log, tmp_path / "a")}
    assert set(first) == {"ngram-index-steps.svg", "ngram-index-growth.svg"}
    assert {path.name: path.read_bytes() for path in draw(log, tmp_path / "b")} == first


def test_a_log_measured_otherwise_is_refused(tmp_path: Path) -> None:
    from engine.log import Log
    from ngrams.bench import Bench, Options

    options = Options(folder=tmp_path)
    Bench(options, Log(tmp_path / "log.jsonl")).agree()
    Bench(replace(options, sizes=(1000,)), Log(tmp_path / "log.jsonl")).agree()
    with pytest.raises(SystemExit, match="was measured with repeats 30; give another --log"):
        Bench(replace(options, repeats=4), Log(tmp_path / "log.jsonl")).agree()


def test_a_peer_that_cannot_be_had_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.client import EngineError
    from engine.log import Log
    from ngrams import sections
    from ngrams.bench import Bench, Options

    bench = Bench(Options(folder=tmp_path, sizes=(1000,)), Log(tmp_path / "log.jsonl"))

    def refused(self: Bench, corpus: str) -> None:
        raise EngineError("infini-gram cannot be installed: no wheel")

    monkeypatch.setattr(Bench, "peer", refused)
    sections.peer(bench)
    assert bench.log.entries["failed/1k/infini-gram"]["failed"].endswith("no wheel")


def test_the_example_of_the_page_says_what_comes_out(tmp_path: Path) -> None:
    page = (BENCHMARKS.parent / "docs" / "ngram-index.md").read_text(encoding="utf-8")
    block = (
        page.split("\n    from retrievers.seal.index import ")[1]
        .split("\n\nEvery")[0]
        .split("\n\n`log_probs`")[0]
    )
    code = "\n".join(
        line.removeprefix("    ") for line in f"    from retrievers.seal.index import {block}".splitlines()
    )
    names: dict[str, Any] = {"log_probs": np.zeros((1, 20), dtype=np.float32), "path": tmp_path / "x.ngrams"}
    exec(code, names)
    assert names["index"].tokens == names["edited"].tokens == 11
    assert names["places"].documents.tolist() == [1, 0]
    assert names["places"].offsets.tolist() == [0, 5]
    assert names["about"] == {"tokenizer": "..."}
    assert names["index"].counts([(5, 6), (6, 7, 5), (-1, 17, 4, -2)]).tolist() == [2, 2, 1]
    assert names["beams"].counts.sum() == 11

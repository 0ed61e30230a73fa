"""What is measured of one index. Times are CPU seconds of this process, so that neighbours count less.

They count still, by what they leave of caches and memory. So what takes microseconds is done in several rounds over
all its n-grams, which are more than fit into a core's own cache, and for each the least time counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from engine.wire import Clock, forget_peak, peak, resident

from ngrams.text import Corpus
from retrievers.seal.index import NgramIndex, load, save

ROUNDS = 4
TOP = 15
"""Continuations that are kept of every beam: SEAL's number of beams."""


def warmed() -> None:
    """Compile, or load what was compiled, before anything is on a clock."""
    for bigrams in (False, True):
        index = NgramIndex.build([(None, [5, 6, 5, 7, 6]), (None, [6, 5, 7])], bigrams=bigrams)
        for depth in (0, 1, 2):
            beams = index.find([[5, 7][:depth]])
            index.children(beams).best(np.zeros((1, 10), dtype=np.float32), 2)
            index.locate(beams)


def build(corpus: Corpus, bigrams: bool) -> tuple[NgramIndex, dict[str, Any]]:
    """An index, what it took, its bytes by array, and the peak of memory beside the corpus, in MiB."""
    before, clock = resident(), Clock()
    forget_peak()
    clock.start()
    index = NgramIndex.build(corpus.documents(), bigrams=bigrams)
    clock.stop()
    parts = {name: getattr(index.arrays, name).nbytes for name in index.arrays.__slots__}
    facts = {"tokens": len(corpus), "documents": index.documents, "types": len(index.unigrams[0])}
    cost = {"cpu": clock.cpu, "wall": clock.wall, "peak": peak() - before}
    return index, {**facts, **cost, "bytes": index.arrays.nbytes, "parts": parts}


def steps(index: NgramIndex, corpus: Corpus, depth: int, beams: int, repeats: int) -> dict[str, Any]:
    """Microseconds a beam for its continuations, and for the best of them as well; other beams every time."""
    vocabulary = int(index.unigrams[0][-1]) + 1
    scores = np.random.default_rng(0).random((beams, vocabulary + 2), dtype=np.float32)
    spent, best = np.full((2, repeats), np.inf)
    width, rows = np.zeros((2, repeats))
    asked = [
        index.find(corpus.sample(beams, depth, np.random.default_rng([1, depth, beams, repeat])))
        for repeat in range(repeats)
    ]
    for _ in range(ROUNDS):
        for repeat, found in enumerate(asked):
            children, first = timed(lambda: index.children(found))  # noqa: B023
            _, second = timed(lambda: children.best(scores, TOP))  # noqa: B023
            spent[repeat] = min(spent[repeat], 1e6 * first / beams)
            best[repeat] = min(best[repeat], 1e6 * (first + second) / beams)
            width[repeat], rows[repeat] = len(children.tokens) / beams, found.counts.mean()
    return {"us": spent.tolist(), "best_us": best.tolist(), "children": width.mean(), "rows": rows.mean()}


def locate(index: NgramIndex, corpus: Corpus, repeats: int) -> dict[str, Any]:
    """Microseconds a row for documents and offsets, of 256 n-grams of two and of three tokens together."""
    spent, rows = np.full(repeats, np.inf), np.zeros(repeats)
    for _ in range(ROUNDS):
        for repeat in range(repeats):
            rng = np.random.default_rng([2, repeat])
            found = index.find([*corpus.sample(128, 2, rng), *corpus.sample(128, 3, rng)])
            places, seconds = timed(lambda: index.locate(found))  # noqa: B023
            rows[repeat] = len(places.documents)
            spent[repeat] = min(spent[repeat], 1e6 * seconds / rows[repeat])
    return {"us": spent.tolist(), "rows": rows.mean()}


def masks(index: NgramIndex, corpus: Corpus, beams: int, repeats: int) -> dict[str, Any]:
    """Microseconds a beam to get the best of the allowed continuations, in three ways, at depth 2.

    `mask`: allowed places of a row of -inf set beam by beam, added, top-k of the vocabulary. `copy`: allowed
    log-probabilities copied into rows of -inf at once, top-k likewise. `gather`: the best of the allowed ones alone.
    """
    vocabulary = int(index.unigrams[0][-1]) + 1
    scores = np.random.default_rng(0).random((beams, vocabulary + 2), dtype=np.float32)
    _top(scores[:1])
    spent: dict[str, list[float]] = {"mask": [], "copy": [], "gather": []}
    for repeat in range(repeats):
        found = index.find(corpus.sample(beams, 2, np.random.default_rng([3, beams, repeat])))
        children = index.children(found)
        values = []
        for name, way in (("mask", _by_mask), ("copy", _by_copy), ("gather", _by_gather)):
            value, seconds = timed(lambda: way(children, scores))  # noqa: B023
            spent[name].append(1e6 * seconds / beams)
            values.append(value)
        if not all(np.array_equal(values[0], value) for value in values[1:]):
            raise AssertionError("the three ways do not agree")
    return spent


def _by_mask(children: Any, scores: np.ndarray) -> np.ndarray:
    mask = np.full(scores.shape, -np.inf, dtype=np.float32)
    for beam in range(len(scores)):
        mask[beam, children.tokens[children.ptr[beam] : children.ptr[beam + 1]]] = 0
    return _top(scores + mask)


def _by_copy(children: Any, scores: np.ndarray) -> np.ndarray:
    masked = np.full(scores.shape, -np.inf, dtype=np.float32)
    masked[children.owners, children.tokens] = scores[children.owners, children.tokens]
    return _top(masked)


def _top(scores: np.ndarray) -> np.ndarray:
    import torch  # seconds of processor time, in workers that have no use for it

    found: np.ndarray = torch.from_numpy(scores).topk(TOP, dim=1).values.numpy()
    return found


def _by_gather(children: Any, scores: np.ndarray) -> np.ndarray:
    places = children.best(scores, TOP)
    tokens = children.tokens[places] if len(children.tokens) else np.zeros_like(places)
    found = scores[np.arange(len(scores))[:, None], tokens]
    return np.asarray(np.where(places >= 0, found, np.float32(-np.inf)))


def files(index: NgramIndex, corpus: Corpus, folder: Path, repeats: int) -> dict[str, Any]:
    """Wall seconds to write an index, to open it with and without a check of everything, and of a first search."""
    path = folder / "measured.ngrams"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        saved = _wall(lambda: save(index, path))
        found: dict[str, Any] = {"save": saved, "bytes": path.stat().st_size}
        found |= {name: [] for name in ("verified", "mapped", "search")}
        asked = corpus.sample(256, 3, np.random.default_rng(4))
        for _ in range(repeats):
            found["verified"].append(_wall(lambda: load(path)))
            found["mapped"].append(_wall(lambda: load(path, verify=False)))
            mapped = load(path, verify=False)[0]
            found["search"].append(_wall(lambda: mapped.children(mapped.find(asked))))  # noqa: B023
    finally:
        path.unlink(missing_ok=True)
    return found


def edits(index: NgramIndex, corpus: Corpus, count: int, repeats: int) -> dict[str, Any]:
    """CPU seconds to replace documents, and microseconds a beam for continuations before and after (depth 2, 256)."""
    rng = np.random.default_rng([5, count])
    rows = rng.choice(index.documents, size=min(count, index.documents), replace=False)
    texts = {int(row): (None, [token for (token,) in corpus.sample(200, 1, rng)]) for row in rows}
    took = [timed(lambda: index.with_edits(texts))[1] for _ in range(repeats)]
    edited = index.with_edits(texts)
    spent: dict[str, list[float]] = {"before": [], "after": []}
    for repeat in range(repeats):
        asked = corpus.sample(256, 2, np.random.default_rng([6, repeat]))
        for name, one in (("before", index), ("after", edited)):
            found = one.find(asked)
            spent[name].append(1e6 * timed(lambda: one.children(found))[1] / 256)  # type: ignore[arg-type]  # noqa: B023
    return {"cpu": took, "documents": len(rows), **spent}


def answers(index: NgramIndex, ngrams: list[list[int]]) -> list[list[int]]:
    """How often n-grams occur and how many continuations each has."""
    beams = index.find(ngrams)
    children = index.children(beams)
    return [beams.counts.tolist(), np.diff(children.ptr).tolist()]


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """What comes of a call, and its CPU seconds."""
    start = time.process_time()
    found = function()
    return found, time.process_time() - start


def _wall(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start

"""A query of the SEAL stage, taken apart: time in the model, in the index, and in everything else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ngrams.bench import Bench

if TYPE_CHECKING:
    from testbed.catalog import Catalog

MODEL = "smollm2-135m"


@dataclass
class Clock:
    """CPU seconds by name; what is called within a call that is on the clock counts for the outer one."""

    seconds: dict[str, float] = field(default_factory=dict)
    running: bool = False

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Count for `name`."""
        if self.running:
            yield
            return
        self.running, start = True, time.process_time()
        try:
            yield
        finally:
            self.running = False
            self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - start


class Watched:
    """Something whose calls are on a clock under a name; also those of what the methods in `handed` return."""

    def __init__(self, inner: Any, clock: Clock, name: str, handed: tuple[str, ...] = ()) -> None:
        self._inner, self._clock, self._name, self._handed = inner, clock, name, handed

    def __getattr__(self, attribute: str) -> Any:
        with self._clock.on(self._name):  # properties work too
            found = getattr(self._inner, attribute)
        return self._watched(found, attribute) if callable(found) else found

    def _watched(self, function: Callable[..., Any], attribute: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            with self._clock.on(self._name):
                found = function(*arguments, **options)
            return Watched(found, self._clock, self._name) if attribute in self._handed else found

        return call


def measure(bench: Bench) -> None:
    """`stage/<catalog>/<query>`: CPU seconds of a query in total, in the model and in the index."""
    import torch

    options = bench.options
    torch.set_num_threads(options.threads)
    for name, load in catalogs(bench).items():
        if all(f"stage/{name}/{number}" in bench.log for number in range(options.queries)):
            continue
        catalog = load()
        texts = list(dict.fromkeys(request.text for request in catalog.requests))
        stage, clock = watched(catalog)
        stage.answers(["something to warm up with"])
        for number, query in enumerate(texts[: options.queries]):
            clock.seconds.clear()
            start, wall = time.process_time(), time.perf_counter()
            (answer,) = stage.answers([query])
            spent = {"total": time.process_time() - start, "wall": time.perf_counter() - wall}
            facts = {"keys": len(answer.keys), "found": len(answer.found.rows), "listings": len(catalog)}
            bench.log.add(
                f"stage/{name}/{number}", **spent, **clock.seconds, **facts, tokens=stage.index.tokens
            )
            bench.say(f"stage/{name}/{number}: {spent['total']:.2f} s")


def watched(catalog: Catalog, model: str = MODEL) -> tuple[Any, Clock]:
    """The stage with its defaults, its model and index on a clock."""
    from retrievers.seal import SEAL
    from testbed.environment import Environment

    return on_clock(SEAL(model=model).build(catalog, Environment(device="cpu")))


def on_clock(stage: Any) -> tuple[Any, Clock]:
    """A stage whose model's and index's calls are counted."""
    clock = Clock()
    asker = replace(stage.asker, model=Watched(stage.asker.model, clock, "model"))
    index = Watched(stage.index, clock, "index", handed=("children",))
    return replace(stage, asker=asker, index=index), clock


def catalogs(bench: Bench) -> dict[str, Callable[[], Catalog]]:
    """Made-up listings with their requests, and the given BEIR folder."""
    from retrievers.llm.tuning.catalog import MadeUp

    pages = max(1, bench.options.listings // 50)
    found: dict[str, Callable[[], Catalog]] = {
        "made-up listings": MadeUp(listings=50, pages=pages, requests=1).load
    }
    if bench.options.beir is not None:
        from catalogs.loaders import Beir

        found[bench.options.beir.name] = Beir(path=bench.options.beir).load
    return found

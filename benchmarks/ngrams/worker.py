"""Our index in a process of its own."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pathlib import Path
from typing import Any

from engine.wire import limit_memory, resident, serve

from ngrams import measures
from ngrams.text import Corpus
from retrievers.seal.index import NgramIndex


class Worker:
    """A corpus, and an index of it."""

    def load(self, path: str, memory_gb: float) -> dict[str, Any]:
        """Read a corpus."""
        limit_memory(memory_gb)
        self.corpus = Corpus.load(Path(path))
        measures.warmed()
        return {"resident": resident()}

    def build(self, bigrams: bool) -> dict[str, Any]:
        """Index the corpus."""
        self.index: NgramIndex | None = None
        self.index, facts = measures.build(self.corpus, bigrams)
        return facts

    def measure(self, what: str, **options: Any) -> dict[str, Any]:
        """One of `measures`."""
        if "folder" in options:
            options["folder"] = Path(options["folder"])
        found: dict[str, Any] = getattr(measures, what)(self.index, self.corpus, **options)
        return found

    def answers(self, ngrams: list[list[int]]) -> dict[str, Any]:
        """What the index says, to be compared."""
        assert self.index is not None
        return {"answers": measures.answers(self.index, ngrams)}


if __name__ == "__main__":
    worker = Worker()
    names = ("load", "build", "measure", "answers")
    serve({name: getattr(worker, name) for name in names})

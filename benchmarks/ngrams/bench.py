"""What all sections share: options, the log, corpora on disk, the two indexes' processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.client import Engine, EngineError
from engine.environment import python_with
from engine.log import Log

from ngrams.text import Corpus, of, zipfian

HERE = Path(__file__).parent
REQUIREMENTS = ("infini-gram==2.6", "numpy")


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    folder: Path
    sizes: tuple[int, ...] = (2_000_000, 20_000_000)
    growth: tuple[int, ...] = (
        1_000_000,
        2_000_000,
        5_000_000,
        10_000_000,
        20_000_000,
        50_000_000,
        100_000_000,
    )
    depths: tuple[int, ...] = (1, 2, 3, 6)
    beams: tuple[int, ...] = (1, 16, 256)
    beir: Path | None = None
    repeats: int = 30
    peer_repeats: int = 2
    queries: int = 24
    listings: int = 5000
    threads: int = 1
    memory_gb: float = 8.0
    quick: bool = False


@dataclass
class Bench:
    """A benchmark that is going on."""

    options: Options
    log: Log

    def agree(self) -> None:
        """Refuse to go on with a log whose measurements were taken in another way."""
        free = ("folder", "sizes", "growth", "beir", "memory_gb")
        now = {name: value for name, value in asdict(self.options).items() if name not in free}
        now = {name: list(value) if isinstance(value, tuple) else value for name, value in now.items()}
        before = self.log.entries.get("options", {"options": now})["options"]
        if before != now:
            other = ", ".join(f"{name} {before.get(name)}" for name in now if before.get(name) != now[name])
            raise SystemExit(f"{self.log.path} was measured with {other}; give another --log or delete it")
        if "options" not in self.log:
            self.log.add("options", options=now)

    @staticmethod
    def say(text: str) -> None:
        """Progress, on standard error."""
        print(text, file=sys.stderr, flush=True)

    def corpora(self) -> Iterator[str]:
        """Names of the corpora that everything is measured on: made-up ones by size, and the given one."""
        yield from map(named, self.options.sizes)
        if self.options.beir is not None:
            yield self.options.beir.name

    def file(self, corpus: str) -> Path:
        """A corpus on disk; it is made when it is not there."""
        path = self.options.folder / "corpora" / f"{corpus}.npz"
        if not path.is_file():
            self.say(f"making the corpus {corpus}")
            sizes = {named(size): size for size in (*self.options.sizes, *self.options.growth)}
            made = zipfian(sizes[corpus]) if corpus in sizes else self._read()
            made.save(path)
        return path

    def ours(self, corpus: str) -> Engine:
        """Our index's process, with a corpus loaded."""
        engine = self._start([sys.executable, "-m", "ngrams.worker"], "ours")
        return _loaded(engine, path=str(self.file(corpus)), memory_gb=self.options.memory_gb)

    def peer(self, corpus: str) -> Engine:
        """infini-gram's process likewise."""
        python = python_with(self.options.folder / "infini-gram", "infini-gram", REQUIREMENTS)
        engine = self._start([python, "-m", "ngrams.peer_worker"], "infini-gram")
        folder = self.options.folder / "indexes" / corpus
        return _loaded(engine, path=str(self.file(corpus)), folder=str(folder), threads=self.options.threads)

    def _read(self) -> Corpus:
        """The texts of a BEIR folder in the default model's tokens."""
        from catalogs.loaders import Beir
        from testbed.environment import Environment
        from testbed.language.tokenizer import load_tokenizer

        assert self.options.beir is not None
        catalog = Beir(path=self.options.beir).load()
        read = load_tokenizer("smollm2-135m", Environment().cache)
        columns = [catalog.columns[name] for name in ("title", "text")]
        texts = [f" {title}. {text}" for title, text in zip(*columns, strict=True)]
        return of(read(texts, add_special_tokens=False)["input_ids"])

    def _start(self, command: list[Any], name: str) -> Engine:
        return Engine(command, self.options.threads, self.options.folder / f"{name}.log", HERE.parent)


def _loaded(engine: Engine, **setting: Any) -> Engine:
    try:
        engine.loaded = engine.ask("load", **setting)["resident"]
    except EngineError:
        engine.close()
        raise
    return engine


def named(size: int) -> str:
    """2M for 2,000,000."""
    for unit, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if size >= unit:
            return f"{size / unit:g}{letter}"
    return str(size)

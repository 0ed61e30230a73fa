"""What all sections share: options, the log, the engines' processes and environments."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.arena import Arena, arena
from engine.client import Engine, EngineError
from engine.environment import python_with
from engine.log import Log
from engine.models import plain_copy

HERE = Path(__file__).parent
REQUIREMENTS = ("nanogcg==0.3.0", "transformers==4.47.1")
EXACT: dict[str, Any] = {
    "screening": "exact",
    "finalists": 1,
    "merge": False,
    "halving": False,
    "buffer": 0,
    "phrases": (),
    "swaps": 1,
}
"""Options of our attack under which a step is a step of plain GCG."""


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    folder: Path
    threads: int = 1
    dtype: str = "auto"
    width: int = 64
    top_k: int = 256
    tokens: int = 20
    targets: tuple[str, ...] = ("swiftbrew-go", "aurelia-grand")
    seeds: int = 5
    repeats: int = 7
    reference_repeats: int = 3
    reference_batch: int = 16
    cap_seconds: float = 1800.0
    reference_cap_seconds: float = 7200.0
    cell_seconds: float = 300.0
    eval_orders: int = 10
    eval_requests: int = 4
    memory_width: int = 512
    memory_gb: float = 0.7 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    quick: bool = False


@dataclass
class Bench:
    """A benchmark that is going on."""

    options: Options
    log: Log
    python: Path = field(default_factory=lambda: Path(sys.executable))

    def agree(self) -> None:
        """Refuse to go on with a log whose measurements were taken in another way."""
        free = ("folder", "seeds", "repeats", "reference_repeats", "targets", "memory_gb")
        now = {name: value for name, value in asdict(self.options).items() if name not in free}
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

    def arena(self, target: str, items: int | None = None) -> Arena:
        """What is attacked, in this process."""
        return _arena(target, self.options.dtype, items)

    def folder(self) -> Path:
        """The packaged model as other engines read it."""
        name = f"smollm2-135m-{self.options.dtype}"
        return plain_copy("smollm2-135m", self.options.dtype, self.options.folder / "models" / name)

    def ours(self, target: str, **setting: Any) -> Engine:
        """Our engine, loaded."""
        engine = self._start([self.python, "-m", "engine.worker"], "ours")
        setting = {"target": target, "dtype": self.options.dtype, **setting}
        return self._loaded(engine, **setting)

    def nanogcg(self, prompts: Sequence[tuple[str, str]], answer: str, folder: Path | None = None) -> Engine:
        """nanoGCG, loaded."""
        command = [self.environment(), HERE / "nanogcg_worker.py"]
        return self._plain(command, "nanogcg", prompts, answer, folder)

    def reference(self, prompts: Sequence[tuple[str, str]], answer: str) -> Engine:
        """The reference procedure at its own cost, loaded."""
        return self._plain([self.python, "-m", "engine.plain_worker"], "reference", prompts, answer, None)

    def environment(self) -> Path:
        """The interpreter of nanoGCG's virtual environment, which is made on first use."""
        import torch

        wanted = [*REQUIREMENTS, f"torch=={torch.__version__.split('+')[0]}"]
        return python_with(self.options.folder / "nanogcg", "nanoGCG", wanted)

    def _plain(
        self,
        command: Sequence[str | Path],
        name: str,
        prompts: Sequence[tuple[str, str]],
        answer: str,
        folder: Path | None,
    ) -> Engine:
        model = str(folder or self.folder())
        engine = self._start(command, name)
        texts = [list(pair) for pair in prompts]
        return self._loaded(engine, folder=model, prompts=texts, answer=answer)

    def _loaded(self, engine: Engine, **setting: Any) -> Engine:
        limits = {"threads": self.options.threads, "memory_gb": self.options.memory_gb}
        try:
            engine.loaded = engine.ask("load", **limits, **setting)["resident"]
        except EngineError:
            engine.close()
            raise
        return engine

    def _start(self, command: Sequence[str | Path], name: str) -> Engine:
        return Engine(command, self.options.threads, self.options.folder / f"{name}.log", HERE.parent)


@lru_cache(maxsize=8)
def _arena(target: str, dtype: str, items: int | None) -> Arena:
    return arena(target, dtype=dtype, items=items)


def last(answer: dict[str, Any]) -> dict[str, Any]:
    """The last step of an `advance`; EngineError when there is none."""
    if not answer["steps"]:
        raise EngineError("the search ended by itself")
    step: dict[str, Any] = answer["steps"][-1]
    return step

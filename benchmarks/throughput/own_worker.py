"""Our sequential models in a process of their own."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from engine.wire import Clock, serve

from retrievers.rearec.data import Fold, Interactions, Split
from retrievers.rearec.evaluation import ranks
from retrievers.rearec.predict import scorer
from retrievers.rearec.tuning.options import RearecTrainer
from retrievers.rearec.tuning.training import Training


class Worker:
    """A data set, and models that are trained on it."""

    def load(self, path: str, threads: int) -> dict[str, Any]:
        """Read histories."""
        torch.set_num_threads(threads)
        data = np.load(path)
        self.count = int(data["items"])
        self.learnt = self._split(data["ptr"], data["rows"])
        self.known = self._split(data["known_ptr"], data["known_rows"])
        return {}

    def epoch(self, length: int, width: int, inner: int, batch: int, negatives: int | None) -> dict[str, Any]:
        """The second of two epochs, and the second time of ranking all items for everybody. `batch`: histories."""
        split = self.learnt
        positions = float(np.diff(split.interactions.ptr).mean() - 1)
        options = RearecTrainer(
            data=Path("-"), width=width, inner=inner, length=length, negatives=negatives,
            batch=max(1, round(batch * positions)),
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            training = Training(options, split, Path(folder), 0, None, torch.device("cpu"))
            training._epoch()
            trained = Clock()
            trained.start()
            training._epoch()
            trained.stop()
        for _ in range(2):
            evaluated = Clock()
            evaluated.start()
            ranks(scorer(training.model, self.known, "first"), self.known.interactions, self.known.test)
            evaluated.stop()
        return {
            "train": {"cpu": trained.cpu, "wall": trained.wall},
            "evaluate": {"cpu": evaluated.cpu, "wall": evaluated.wall},
        }

    def _split(self, ptr: np.ndarray, rows: np.ndarray) -> Split:
        """Everything known; who is ranked is ranked behind all of it, against any one item."""
        histories = [rows[begin:end].tolist() for begin, end in pairwise(ptr)]
        users = np.arange(len(histories))
        names = [f"i{row}" for row in range(self.count)]
        interactions = Interactions.of([f"u{user}" for user in users], names, histories)
        lengths = np.diff(ptr)
        fold = Fold(users, lengths, np.zeros(len(users), dtype=np.int64))
        return Split(interactions, lengths, fold, fold, "everything")


if __name__ == "__main__":
    worker = Worker()
    serve({"load": worker.load, "epoch": worker.epoch})

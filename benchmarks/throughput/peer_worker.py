"""SASRec of RecTools (MTS, Apache 2.0) on the same histories, in its own environment."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from engine.wire import Clock, serve
from pytorch_lightning import Callback, Trainer
from rectools.dataset import Dataset
from rectools.models import SASRecModel

warnings.filterwarnings("ignore")


class Epochs(Callback):  # type: ignore[misc]
    """Clocks of training epochs."""

    def __init__(self) -> None:
        self.clocks: list[Clock] = []

    def on_train_epoch_start(self, *_: Any) -> None:
        """Begin one."""
        self.clocks.append(Clock())
        self.clocks[-1].start()

    def on_train_epoch_end(self, *_: Any) -> None:
        """End it."""
        self.clocks[-1].stop()


def trainer() -> Trainer:
    """Two epochs, timed, and nothing else."""
    return Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[Epochs()],
    )  # fmt: skip


class Worker:
    """A data set, and models that are trained on it."""

    def load(self, path: str, threads: int) -> dict[str, Any]:
        """Read histories."""
        torch.set_num_threads(threads)
        data = np.load(path)
        self.learnt = _dataset(data["ptr"], data["rows"])
        self.known = _dataset(data["known_ptr"], data["known_rows"])
        return {}

    def epoch(self, length: int, width: int, inner: int, batch: int, negatives: int | None) -> dict[str, Any]:
        """The second of two epochs, and the second time of recommending to everybody."""
        model = SASRecModel(
            n_blocks=2, n_heads=2, n_factors=width, session_max_len=length, dropout_rate=0.2, batch_size=batch,
            loss="sampled_softmax" if negatives else "softmax", n_negatives=negatives or 1,
            get_trainer_func=trainer, recommend_torch_device="cpu", recommend_batch_size=256,
            transformer_layers_kwargs={"ff_factors_multiplier": inner // width},
        )  # fmt: skip
        model.fit(self.learnt)
        users = self.known.user_id_map.external_ids
        for _ in range(2):
            evaluated = Clock()
            evaluated.start()
            found = model.recommend(users, self.known, k=10, filter_viewed=True)
            evaluated.stop()
            assert len(found)
        (epochs,) = (one for one in model.fit_trainer.callbacks if isinstance(one, Epochs))
        trained = epochs.clocks[-1]
        return {
            "train": {"cpu": trained.cpu, "wall": trained.wall},
            "evaluate": {"cpu": evaluated.cpu, "wall": evaluated.wall},
        }


def _dataset(ptr: np.ndarray, rows: np.ndarray) -> Dataset:
    users = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
    days = pd.to_datetime(time.mktime((2020, 1, 1, 0, 0, 0, 0, 0, 0)) + np.arange(len(rows)), unit="s")
    return Dataset.construct(
        pd.DataFrame({"user_id": users, "item_id": rows, "weight": 1.0, "datetime": days})
    )


if __name__ == "__main__":
    worker = Worker()
    serve({"load": worker.load, "epoch": worker.epoch})

"""The training of heads on vectors that stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retrievers.goals.data import Split, windows
from retrievers.goals.evaluation import mean_share, next_ranks
from retrievers.goals.model import CurvedHeads
from retrievers.goals.scoring import Curvature
from retrievers.goals.tuning import checkpoint
from retrievers.goals.tuning.batches import Batch
from retrievers.goals.tuning.course import Course
from retrievers.goals.tuning.options import OF_ENCODER, GoalsTrainer
from testbed.errors import UserError


class Training(Course):
    """Heads on their way. Untrained ones do not compete: they know no direction, and stand beside the trained ones in
    the figures.

    `vectors`: of the training utterances and of the validating ones, (n, width) each.
    """

    purpose = "goals"

    def __init__(
        self,
        options: GoalsTrainer,
        split: Split,
        vectors: tuple[np.ndarray, np.ndarray],
        encoder: str,
        folder: Path,
        seed: int,
        device: torch.device,
    ) -> None:
        self.options, self.split, self.folder, self.seed, self.device = options, split, folder, seed, device
        self.vectors, self.validating = torch.from_numpy(np.array(vectors[0])).to(device), vectors[1]
        self.windows = windows(split.training)
        if not len(self.windows) and options.epochs:
            raise UserError(f"{options.data}: no dialogue has six turns to learn from")
        self.network = self.heads = CurvedHeads(self.vectors.shape[1]).to(device)
        rate = options.learning_rate
        group = {"params": [*self.heads.parameters()], "peak": rate}
        self.optimizer = torch.optim.AdamW([group], lr=rate, weight_decay=options.weight_decay)
        self.given = options.model_dump(mode="json", exclude=set(OF_ENCODER))
        self.about: dict[str, Any] = {
            "training": split.training.fingerprint,
            "validation": split.validation.fingerprint,
            "encoder": options.encoder,
            "encoder_fingerprint": encoder,
            "width": self.heads.width,
            "loss": options.loss,
            "seed": seed,
        }
        self.progress = self.resumed() or self._begun()

    @property
    def most(self) -> int:
        """Most epochs."""
        return self.options.epochs

    def look(self) -> float:
        """Mean rank ÷ pool on validation."""
        curvature = Curvature.of(self.validating, self.heads)
        return mean_share(next_ranks(self.split.validation, curvature))

    def _begun(self) -> checkpoint.Progress:
        self._keep()
        return checkpoint.Progress()

    def _keep(self) -> None:
        checkpoint.save_best(self.folder, self.heads, self.about)

    def _recall(self) -> None:
        checkpoint.load_best(self.folder, self.heads)

    def _backward(self, cut: np.ndarray, rng: np.random.Generator) -> Tensor:
        batch = Batch.drawn(self.options, cut, self.split.training.rows, rng)
        loss = batch.loss(self.options, self.heads, self._of)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def _of(self, rows: np.ndarray) -> Tensor:
        return self.vectors[torch.from_numpy(rows.astype(np.int64)).to(self.device)]

"""Heads and the encoder's top layers learn together, once the heads alone are trained."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from retrievers.goals.evaluation import mean_share, next_ranks
from retrievers.goals.scoring import Curvature
from retrievers.goals.stored import ABOUT, ENCODER
from retrievers.goals.tuning import checkpoint
from retrievers.goals.tuning.batches import Batch
from retrievers.goals.tuning.course import LEAST, Course
from retrievers.goals.tuning.training import Training
from testbed.language.encoder import BATCH
from testbed.language.fingerprint import fingerprint
from testbed.language.learning_encoder import LearningEncoder
from testbed.tuning.state import save_weights

if TYPE_CHECKING:
    from testbed.environment import Environment

BEST = "best.safetensors"
CLIP = 1.0
"""Largest norm of an update's gradient."""


class FineTuning(Course):
    """From heads that are trained, and with the encoder that they were trained on. What it starts from competes.

    Its folder can be used once it has ended: heads, and `encoder/` beside them. A batch is as large as the heads'; its
    utterances are encoded twice, once for the loss and, a few at a time, once for the gradients (Gao et al. 2021,
    arXiv 2101.06983), so that memory does not grow with it.
    """

    purpose = "goals encoder"
    _rate = "encoder_learning_rate"

    def __init__(self, before: Training, folder: Path, env: Environment) -> None:
        folder.mkdir(exist_ok=True)
        options = before.options
        self.options, self.folder, self.seed, self.split = options, folder, before.seed, before.split
        self.windows, self.heads = before.windows, before.heads
        self.encoder = LearningEncoder.loaded(
            options.encoder, options.encoder_layers, device=env.device, cache=env.cache
        )
        self.network = nn.ModuleDict({"heads": self.heads, "layers": self.encoder.layers})
        heads, layers = ([*part.parameters()] for part in (self.heads, self.encoder.layers))
        slow, rate = options.learning_rate * LEAST, options.encoder_learning_rate
        self.optimizer = torch.optim.AdamW(
            [
                {"params": heads, "peak": slow, "lr": slow, "weight_decay": options.weight_decay},
                {"params": layers, "peak": rate, "lr": rate, "weight_decay": 0.0},
            ]
        )
        self.given = options.model_dump(mode="json")
        start = hashlib.blake2b(digest_size=8)
        for weight in heads:
            start.update(weight.detach().cpu().numpy().tobytes())
        self.about: dict[str, Any] = {**before.about, "start": start.hexdigest()}
        self.progress = self.resumed() or self._begun(before.look())

    @property
    def most(self) -> int:
        """Most epochs."""
        return self.options.encoder_epochs

    def run(self, tell: Any) -> None:
        """Train to the end, then write heads and encoder for use."""
        super().run(tell)
        (self.folder / ABOUT).unlink(missing_ok=True)  # nothing half written can be used
        shutil.rmtree(self.folder / ENCODER, ignore_errors=True)
        self.encoder.save(self.folder / ENCODER)
        seen = fingerprint(self.folder / ENCODER)
        about = {**self.about, "encoder": f"./{ENCODER}", "encoder_fingerprint": seen}
        checkpoint.save_best(self.folder, self.heads, about)

    def look(self) -> float:
        """Mean rank ÷ pool on validation, its utterances encoded anew."""
        vectors = self.encoder.encode(self.split.validation.texts)
        return mean_share(next_ranks(self.split.validation, Curvature.of(vectors, self.heads)))

    def _begun(self, best: float) -> checkpoint.Progress:
        self._keep()
        return checkpoint.Progress(best=best)

    def _keep(self) -> None:
        save_weights(self.folder / BEST, self.network)

    def _recall(self) -> None:
        self.network.load_state_dict(load_file(self.folder / BEST))

    def _backward(self, cut: np.ndarray, rng: np.random.Generator) -> Tensor:
        batch = Batch.drawn(self.options, cut, self.split.training.rows, rng)
        rows = batch.rows
        texts = [self.split.training.texts[row] for row in rows]
        parts = _parts(texts)
        places = np.argsort(np.concatenate(parts))
        with torch.no_grad():
            table = torch.cat([self.encoder.vectors([texts[at] for at in part]) for part in parts])
        table = table[torch.from_numpy(places).to(table.device)].requires_grad_(True)

        def of(asked: np.ndarray) -> Tensor:
            return table[torch.from_numpy(np.searchsorted(rows, asked)).to(table.device)]

        loss = batch.loss(self.options, self.heads, of)
        loss.backward()  # type: ignore[no-untyped-call]
        slopes = table.grad
        assert slopes is not None
        for part in parts:
            found = self.encoder.vectors([texts[at] for at in part])
            (found * slopes[torch.from_numpy(part).to(table.device)]).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        return loss


def _parts(texts: Sequence[str]) -> list[np.ndarray]:
    """Places of a few texts each that are about as long."""
    order = np.argsort([len(text) for text in texts], kind="stable")
    return [order[begin : begin + BATCH] for begin in range(0, len(order), BATCH)]

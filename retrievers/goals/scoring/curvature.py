"""The three views of utterances that scoring needs; plain cosine is a case of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from retrievers.goals.model.heads import CurvedHeads

BLOCK = 8192
"""Utterances that go through the heads at once."""


@dataclass(frozen=True, slots=True)
class Curvature:
    """Unit vectors of n utterances before at odd distance, before at even distance, and after: (n, width) float32."""

    odd: np.ndarray
    even: np.ndarray
    after: np.ndarray

    @classmethod
    def plain(cls, vectors: np.ndarray) -> Curvature:
        """The encoder alone: symmetrical, so it knows no direction."""
        return cls(vectors, vectors, vectors)

    @classmethod
    def of(cls, vectors: np.ndarray, heads: CurvedHeads) -> Curvature:
        """Through trained heads."""
        parts = []
        device = heads.later.device
        with torch.inference_mode():
            for begin in range(0, len(vectors), BLOCK):
                some = torch.from_numpy(np.array(vectors[begin : begin + BLOCK])).to(device)
                views = (heads.before(some, even=False), heads.before(some, even=True), heads.after(some))
                parts.append([view.cpu().numpy() for view in views])
        if not parts:
            return cls.plain(vectors)
        return cls(*(np.concatenate(views) for views in zip(*parts, strict=True)))

    @property
    def views(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Odd, even, after."""
        return self.odd, self.even, self.after

    def before(self, distance: int) -> np.ndarray:
        """Views of all utterances, said so many turns before something."""
        return self.odd if distance % 2 else self.even

    def only(self, rows: np.ndarray) -> Curvature:
        """Some utterances."""
        return Curvature(self.odd[rows], self.even[rows], self.after[rows])

    def __len__(self) -> int:
        return len(self.after)

"""Windows of five turns, and the twelve labelled pairs of each (Erker et al. 2022, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retrievers.goals.data.dialogues import Dialogues

WINDOW = 5
DISTANCES = np.arange(1, WINDOW)
LABELS = (WINDOW - DISTANCES) / WINDOW
"""Of turns 1..4 apart: .8 .6 .4 .2."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Utterances before and after, (P,) numbers each. `even`: parity of the distance between them; `labels`: 0 to 1."""

    before: np.ndarray
    after: np.ndarray
    even: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def windows(dialogues: Dialogues) -> np.ndarray:
    """Five utterances in a row, (W, 5) numbers; the last window of each dialogue is left out, as the authors do."""
    found = [
        np.lib.stride_tricks.sliding_window_view(turns, WINDOW)[:-1]
        for turns in dialogues
        if len(turns) > WINDOW
    ]
    return np.concatenate(found) if found else np.zeros((0, WINDOW), np.int32)


def pairs(cut: np.ndarray, utterances: np.ndarray, rng: np.random.Generator) -> Pairs:
    """Twelve pairs of every window, by window; `utterances`: numbers that random ones are drawn from, as often as said.

    For each distance d: first and d-th turn, labelled (5 − d) / 5; the same two the wrong way round, labelled 0; and
    the d-th turn with a random utterance, either of them before, with either parity, labelled 0.
    """
    shape = (len(cut), WINDOW - 1)
    first, later = np.broadcast_to(cut[:, :1], shape), cut[:, 1:]
    drawn = utterances[rng.integers(len(utterances), size=shape)]
    drawn_first = rng.random(shape) < 0.5
    even = np.broadcast_to(DISTANCES % 2 == 0, shape)
    zeros = np.zeros(shape)
    before = np.stack([first, later, np.where(drawn_first, drawn, later)], axis=-1)
    after = np.stack([later, first, np.where(drawn_first, later, drawn)], axis=-1)
    parity = np.stack([even, even, rng.random(shape) < 0.5], axis=-1)
    labels = np.stack([np.broadcast_to(LABELS, shape), zeros, zeros], axis=-1)
    return Pairs(before.reshape(-1), after.reshape(-1), parity.reshape(-1), labels.reshape(-1))

"""How likely a language model finds every token of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from defences.detectors.suspicion import Fields, Suspicion, text_of

if TYPE_CHECKING:
    from testbed.language import LanguageModel

PIECE, SEEN = 448, 64
"""A longer text is read in pieces of so many tokens, each with so many before it."""


def token_losses(model: LanguageModel, tokens: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Negative log-likelihood of every token of each text after a line break, in nats: (len(text),) float64 each."""
    from testbed.language import Prefix, Row

    before = model.encode("\n")[-1:] or [0]
    rows, owners = [], []
    for place, text in enumerate(tokens):
        whole = [*before, *text]
        for start in range(1, len(whole), PIECE):
            lead = min(start, SEEN)
            trunk = tuple(whole[start - lead : start + PIECE])
            rows.append(Row(trunk, (), watched=(lead, len(trunk))))
            owners.append(place)
    parts: list[list[np.ndarray]] = [[] for _ in tokens]
    if rows:
        for place, (found,) in zip(owners, model.log_probs(Prefix(), rows), strict=True):
            parts[place].append(-found.double().numpy())
    return [np.concatenate(found) if found else np.zeros(0) for found in parts]


def windowed(values: np.ndarray, width: int) -> tuple[float, int]:
    """The largest mean over `width` neighbours, and where it begins; of all values where there are fewer; 0 of none."""
    if len(values) <= width:
        return (float(values.mean()) if len(values) else 0.0), 0
    sums = np.concatenate([[0.0], values.cumsum()])
    means = (sums[width:] - sums[:-width]) / width
    place = int(means.argmax())
    return float(means[place]), place


class TokenReader:
    """Base of readers that score a listing by its tokens: write `judge`."""

    reads_tokens = True

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    @property
    def fingerprint(self) -> str:
        """The model's, and what else a score depends on."""
        return f"{type(self).__name__} {self.model.fingerprint} {self.model.dtype} {self.rest}"

    @property
    def rest(self) -> str:
        """What a score depends on besides the model."""
        return ""

    def __call__(self, listings: Sequence[Fields]) -> list[Suspicion]:
        tokens = self.model.encode_many([text_of(fields) for fields in listings])
        return [
            self.judge(text, losses)
            for text, losses in zip(tokens, token_losses(self.model, tokens), strict=True)
        ]

    def count(self, fields: Fields) -> int:
        """Tokens of a listing."""
        return len(self.model.encode(text_of(fields)))

    def judge(self, tokens: Sequence[int], losses: np.ndarray) -> Suspicion:
        """What the losses of a listing's tokens, (L,), say of it."""
        raise NotImplementedError

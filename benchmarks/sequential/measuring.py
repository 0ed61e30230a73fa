"""Ranks of the held-out items under a trained model, step by step, and what else its predictions say."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from retrievers.rearec.data import Fold, Split
from retrievers.rearec.evaluation import BLOCK, Ranks, Scorer, ranks
from retrievers.rearec.predict import _Scorer, state_of
from retrievers.rearec.stored import WEIGHTS, Stored
from sequential.ceiling import copied, scale_of, scatter
from testbed.errors import UserError

if TYPE_CHECKING:
    from testbed.environment import Environment

NULL_USERS = 5000
"""Most users of the ceiling and its null; the same in every model."""
READ = 4096
"""Histories that are read at once."""
CALIBRATED = 1000
"""Users on whom the noise of the null is made as large as the steps are apart."""
Arrays = dict[str, np.ndarray]


@dataclass
class Measured:
    """A trained model on the test items of a split. All ranks are from 1, (M,) in the order of `fold`."""

    stored: Stored
    split: Split
    device: torch.device
    env: Environment

    def __post_init__(self) -> None:
        if self.stored.items != self.split.interactions.items:
            raise UserError(f"{self.stored.folder}: was trained on other data")
        vectors = None
        if self.stored.options.items != "id":
            from retrievers.rearec.tuning.texts import vectors_of

            vectors = vectors_of(self.split.interactions, self.stored.encoder or "", self.env)
        self.model = self.stored.model(vectors).to(self.device)
        with torch.no_grad():
            self.table = self.model.items.table()
        reader, test = _Scorer(self.model, self.split, "last", None, None), self.split.test
        blocks = [slice(begin, begin + READ) for begin in range(0, len(test), READ)]
        self.states = torch.cat([reader.states(test.users[rows], test.ends[rows]) for rows in blocks], 1)

    def arrays(self) -> tuple[Arrays, dict[str, float]]:
        """What is kept of the model, and numbers about it.

        `own`, `kept`: ranks of the model as it is read, with the history left out and competing. `steps`: (K + 1, M).
        `entropy`: (K + 1, M) nats of every step's softmax over all items. `some`: numbers within the fold of the users
        of the ceiling; `null`, `null of the mean`: (K + 1, S) their ranks under noisy copies.
        """
        test, count = self.split.test, len(self.states)
        read = state_of(self.states, self.stored.read)
        own, kept = both(self._scored(read), self.split)
        found: Arrays = {"own": own, "kept": kept, "entropy": np.stack(list(map(self.entropy, self.states)))}
        place = {"first": 0, "last": count - 1}.get(self.stored.read)
        others = [own if step == place else self.rank(state, test) for step, state in enumerate(self.states)]
        found["steps"] = np.stack(others)
        if count == 1:
            return found, {}
        arrays, facts = self._ceiling(found["steps"])
        return found | arrays, facts

    def _ceiling(self, steps: np.ndarray) -> tuple[Arrays, dict[str, float]]:
        """Both nulls of the ceiling, their noise calibrated on fewer users."""
        test, place = self.split.test, int(np.argmax([ndcg(one, 20).mean() for one in steps]))
        drawn = np.random.default_rng(0).permutation(len(test))
        some, few = np.sort(drawn[:NULL_USERS]), np.sort(drawn[:CALIBRATED])
        noise = torch.randn(self.states.shape, generator=torch.Generator().manual_seed(0)).to(self.device)
        quiet = noise.clone()
        quiet[0] = 0

        def rank_of(rows: np.ndarray) -> Callable[[Tensor], np.ndarray]:
            return partial(self.rank, fold=Fold(test.users[rows], test.ends[rows], test.targets[rows]))

        arrays, facts = {"some": some}, {"step": float(place), "scatter": scatter(steps[:, some])}
        for name, centre, drawn_noise in (
            ("null", self.states[place], quiet),
            ("null of the mean", self.states.mean(0), noise),
        ):
            parts = self.states[:, few], steps[:, few], centre[few], drawn_noise[:, few]
            scale = scale_of(*parts, rank_of(few))
            arrays[name] = copied(
                self.states[:, some], centre[some], scale, drawn_noise[:, some], rank_of(some)
            )
            facts |= {f"{name}, scale": scale, f"{name}, scatter": scatter(arrays[name])}
        return arrays, facts

    def rank(self, states: Tensor, fold: Fold) -> np.ndarray:
        """Ranks of a fold's items for the states of its users, (M, d)."""
        return ranks(self._scored(states, fold), self.split.interactions, fold).ranks

    def _scored(self, states: Tensor, fold: Fold | None = None) -> Scorer:
        rows = {int(user): row for row, user in enumerate((fold or self.split.test).users)}

        @torch.no_grad()
        def scored(users: np.ndarray, ends: np.ndarray) -> np.ndarray:
            some = states[[rows[int(user)] for user in users]]
            return np.asarray(self.model.scores(some, self.table).float().cpu().numpy())

        return scored

    @torch.no_grad()
    def entropy(self, states: Tensor) -> np.ndarray:
        """Entropy of the prediction of every user, in nats: (M, d) → (M,)."""
        found = []
        for block in states.split(BLOCK):
            logs = self.model.scores(block, self.table).float().log_softmax(-1)
            found.append(-(logs.exp() * logs).sum(-1).cpu().numpy())
        return np.concatenate(found)


def ndcg(ranks: np.ndarray, cut: int) -> np.ndarray:
    """NDCG at a cut, with one relevant item, of ranks of any shape."""
    return Ranks(np.empty(0), ranks).ndcg(cut)


def digest(folder: Path) -> str:
    """Twelve hexadecimal digits that stand for a model's weights."""
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()[:12]


def both(scored: Scorer, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of the test items with the history left out and with it competing, from the same scores: (M,) each."""
    test, found = split.test, ([], [])
    for begin in range(0, len(test), BLOCK):
        rows = slice(begin, begin + BLOCK)
        fold = Fold(test.users[rows], test.ends[rows], test.targets[rows])
        scores = scored(fold.users, fold.ends)
        for history, kept in enumerate(found):
            kept.append(ranks(lambda *_: scores, split.interactions, fold, history=bool(history)).ranks)  # noqa: B023
    return np.concatenate(found[0]), np.concatenate(found[1])

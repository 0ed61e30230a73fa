"""Step by step: how far a perturbed history or text moves the user's state, and what the target gains by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from pollution.models import Attacked
from retrievers.rearec.predict import state_of

ROWS = 128
"""Histories that are read at once."""


@torch.no_grad()
def states_of(attacked: Attacked, histories: Sequence[Sequence[int]], table: Tensor | None = None) -> Tensor:
    """States r_0 … r_K of histories: (K + 1, M, d) float32. `table`: other items than the model's own."""
    model, table = attacked.model, attacked.table if table is None else table
    length = model.options.length
    cut = [list(one)[-length:] for one in histories]
    order = sorted(range(len(cut)), key=lambda row: len(cut[row]))
    found: Tensor | None = None
    for begin in range(0, len(order), ROWS):
        rows = order[begin : begin + ROWS]
        padded = torch.zeros(len(rows), len(cut[rows[-1]]), dtype=torch.int64)
        for place, row in enumerate(rows):
            padded[place, : len(cut[row])] = torch.tensor(cut[row])
        ends = torch.tensor([[len(cut[row]) - 1] for row in rows])
        states = model.states(table, padded, ends)[:, :, 0].float()
        if found is None:
            found = torch.empty(len(states), len(cut), states.shape[2])
        found[:, rows] = states
    assert found is not None
    return found


@torch.no_grad()
def scores_of(attacked: Attacked, states: Tensor, table: Tensor | None = None) -> np.ndarray:
    """Scores of all items, read as the model is read: (M, n)."""
    table = attacked.table if table is None else table
    return np.asarray(attacked.model.scores(state_of(states, attacked.read), table).numpy())


@dataclass(frozen=True)
class Steps:
    """A perturbation of M users at every step k = 0 … K, all (K + 1, M).

    `moved`: ‖r′_k − r_k‖. `apart`: ‖r_k − mean of all users' r_k‖, of the clean states. `turned`: 1 − cos(r′_k, r_k).
    `gained`: the target's log-probability under r′_k less that under r_k, nats. `before`, `after`: its rank among all
    items.
    """

    moved: np.ndarray
    apart: np.ndarray
    turned: np.ndarray
    gained: np.ndarray
    before: np.ndarray
    after: np.ndarray


@torch.no_grad()
def steps(
    attacked: Attacked, clean: Tensor, perturbed: Tensor, target: int, table: Tensor | None = None
) -> Steps:
    """Compare states (K + 1, M, d). `table`: the items of the perturbed world, the model's own when left out."""
    moved = (perturbed - clean).norm(dim=-1)
    turned = (1 - cosine_similarity(perturbed.double(), clean.double(), dim=-1)).clamp(min=0)
    worlds = ((clean, attacked.table), (perturbed, attacked.table if table is None else table))
    logs, ranks = [], []
    for states, items in worlds:
        scores = attacked.model.scores(states, items)
        mine = scores[..., target]
        logs.append(mine - scores.logsumexp(-1))
        ranks.append(1 + (scores > mine[..., None]).sum(-1))
    apart = (clean - clean.mean(1, keepdim=True)).norm(dim=-1)
    parts = (moved, apart, turned, logs[1] - logs[0], *ranks)
    return Steps(*(np.asarray(part.numpy(), dtype=np.float64) for part in parts))


def amplification(found: Steps) -> np.ndarray:
    """log(‖Δr_k‖ / ‖Δr_0‖), (K + 1, M); nan where nothing moved at first or nothing at the step."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(found.moved / found.moved[0])
    return np.where(np.isfinite(ratio), ratio, np.nan)


def relative(found: Steps) -> np.ndarray:
    """The same, beside what becomes of the differences between users, root mean square: below 0 they last longer.

    Steps that make all users alike damp every perturbation; that is no defence.
    """
    spread = np.sqrt((found.apart**2).mean(1, keepdims=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        return amplification(found) - np.log(spread / spread[0])


def turning(found: Steps) -> np.ndarray:
    """log of the cosine distance at a step over that at step 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(found.turned / found.turned[0])
    return np.where(np.isfinite(ratio), ratio, np.nan)

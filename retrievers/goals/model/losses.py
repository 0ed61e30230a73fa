"""What the heads are taught: the paper's squared error, or a softmax over a batch with a margin for direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss, relu

from retrievers.goals.data.pairs import LABELS
from retrievers.goals.model.heads import CurvedHeads

Loss = Literal["softmax+margin", "mse"]
LOSSES: tuple[Loss, ...] = ("softmax+margin", "mse")


@dataclass(frozen=True, slots=True)
class Margins:
    """`margin`: by how much a pair's cosine should exceed its reverse's; `weight`: of that beside the softmax."""

    temperature: float
    margin: float
    weight: float


def squared_error(heads: CurvedHeads, before: Tensor, after: Tensor, even: Tensor, labels: Tensor) -> Tensor:
    """mean (cos − label)² over pairs: vectors (P, width) twice, (P,) bool, (P,) (Erker et al. 2022)."""
    odd_cosines = (heads.before(before[~even], even=False) * heads.after(after[~even])).sum(-1)
    even_cosines = (heads.before(before[even], even=True) * heads.after(after[even])).sum(-1)
    return mse_loss(torch.cat([odd_cosines, even_cosines]), torch.cat([labels[~even], labels[even]]))


def softmax_margin(heads: CurvedHeads, cut: Tensor, said: Tensor, how: Margins) -> Tensor:
    """Softmax over the windows of a batch, plus a margin between each pair and its reverse.

    `cut`: vectors of windows, (W, 5, width). `said`: (W, 5) numbers of their utterances; another window's utterance
    that is the same does not compete. For each distance d the first turn has to find its d-th among those of all
    windows; distances weigh .8 .6 .4 .2, as the paper's labels.
    """
    later = heads.after(cut)
    sides = {even: heads.before(cut, even=even) for even in (False, True)}
    found = cut.new_zeros(())
    own = torch.arange(len(cut), device=cut.device)
    for distance, label in enumerate(LABELS, start=1):
        side = sides[distance % 2 == 0]
        cosines = side[:, 0] @ later[:, distance].T
        same = said[:, distance][None, :] == said[:, distance][:, None]
        same[own, own] = False
        logits = (cosines / how.temperature).masked_fill(same, -torch.inf)
        reverse = (side[:, distance] * later[:, 0]).sum(-1)
        short = relu(how.margin - cosines.diagonal() + reverse).mean()
        found = found + float(label) * (cross_entropy(logits, own) + how.weight * short)
    return found / float(LABELS.sum())

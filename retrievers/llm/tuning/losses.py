"""The loss of an example: what is said first should follow the utilities, and the name begun should be finished."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from retrievers.llm.tuning.examples import Example
from testbed.language.batch import Batch
from testbed.language.layout import Block
from testbed.language.rows import Prefix, Row

if TYPE_CHECKING:
    from testbed.language import LanguageModel

REST = 0.3
"""Weight of the name's other tokens."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where in the flattened example something is predicted. `first`: a column a branch; `rest`: token and column."""

    first: tuple[int, ...]
    rest: tuple[tuple[int, int], ...]


def batch_of(model: LanguageModel, example: Example) -> tuple[Batch, Places]:
    """The example as one sequence: a trunk that all branches see, branches that do not see each other."""
    row = Row(example.trunk, tuple(branch.tokens + branch.answer for branch in example.branches))
    column, first, rest = len(example.trunk), [], []
    for branch in example.branches:
        start = column + len(branch.tokens) - 1
        first.append(start)
        rest += [(token, start + 1 + place) for place, token in enumerate(branch.answer[1:])]
        column += len(branch.tokens) + len(branch.answer) - 1
    return Batch.of([Block.of(Prefix(), [row])], model.device), Places(tuple(first), tuple(rest))


def loss(model: LanguageModel, example: Example) -> tuple[Tensor, float]:
    """Loss of an example, summed over its branches, and the part of it that no model can avoid.

    Cross-entropy of the first answer token with the wished distribution, over the whole vocabulary, plus
    `REST` times the mean cross-entropy of the other tokens of one name drawn from that distribution.
    """
    batch, places = batch_of(model, example)
    hidden = model.hidden(batch)
    columns = torch.tensor([*places.first, *(column for _, column in places.rest)], device=hidden.device)
    logits = model.logits(hidden[columns])
    logs = logits - logits.logsumexp(1, keepdim=True)
    total = logs.new_zeros(())
    entropy = 0.0
    for row, branch in enumerate(example.branches):
        tokens, shares = list(branch.first), torch.tensor(list(branch.first.values()), device=logs.device)
        total = total - (shares * logs[row, tokens]).sum()
        entropy -= sum(share * np.log(share) for share in branch.first.values() if share > 0)
    if places.rest:
        wanted = torch.tensor([token for token, _ in places.rest], device=logs.device)
        rest = logs[len(places.first) :].gather(1, wanted[:, None])
        total = total - REST * rest.mean() * len(example.branches)
    return total, float(entropy)

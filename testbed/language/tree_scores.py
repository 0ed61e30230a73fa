"""Log-probabilities of what comes after the nodes of token trees, from their hidden states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from testbed.language.tree import Asked, Growth

ROWS = 256
"""Rows of logits that are held at once."""

Head = Callable[[Tensor], Tensor]
"""Hidden states (A, d) to logits (A, V) float32."""


def log_probs(head: Head, asked: Sequence[Asked], vocabulary: int) -> list[Tensor]:
    """Log-probabilities over the whole vocabulary: per tree (nodes, V) float32 on the CPU."""
    lengths = [len(nodes) for _, nodes in asked]
    found = torch.empty(sum(lengths), vocabulary)
    with torch.inference_mode():
        for begin, logits in _logits(head, asked):
            found[begin : begin + len(logits)] = logits.log_softmax(1)
    return list(torch.split(found, lengths))


def token_log_probs(head: Head, growths: Sequence[Growth]) -> list[Tensor]:
    """Log-probability of each token behind its parent: per tree (tokens,) float32 on the CPU.

    Parents that several tokens share are computed once, and no more than `ROWS` rows are held.
    """
    asked: list[Asked] = []
    owners: list[Tensor] = []
    before = 0
    for growth in growths:
        nodes, where = np.unique(np.asarray(growth.parents, dtype=np.int64), return_inverse=True)
        asked.append((growth.tree, nodes.tolist()))
        owners.append(torch.from_numpy(where + before))
        before += len(nodes)
    lengths = [len(growth.tokens) for growth in growths]
    tokens = torch.tensor([token for growth in growths for token in growth.tokens], dtype=torch.long)
    owner = torch.cat([torch.zeros(0, dtype=torch.long), *owners])
    if len(owner) != len(tokens):
        raise ValueError("as many parents as tokens")
    found = torch.empty(len(tokens))
    with torch.inference_mode():
        for begin, logits in _logits(head, asked):
            mine = ((owner >= begin) & (owner < begin + len(logits))).nonzero()[:, 0]
            rows, columns = (owner[mine] - begin).to(logits.device), tokens[mine].to(logits.device)
            found[mine] = (logits[rows, columns] - logits.logsumexp(1)[rows]).cpu()
    return list(torch.split(found, lengths))


def _logits(head: Head, asked: Sequence[Asked]) -> Iterator[tuple[int, Tensor]]:
    """Logits of all nodes asked for, trees behind each other, a stretch at a time with where it begins."""
    states = [
        tree.states.pick(torch.tensor(nodes, dtype=torch.long, device=tree.states.device))
        for tree, nodes in asked
        if len(nodes)
    ]
    begin = 0
    for some in torch.split(torch.cat(states), ROWS) if states else ():
        yield begin, head(some)
        begin += len(some)

"""Candidate texts of a greedy coordinate gradient step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from testbed.protocols import Surface


def forbidden(pieces: Sequence[str], *, ascii_only: bool, banned: Sequence[str] = ()) -> np.ndarray:
    """Tokens that may not be used: special, unprintable, not ASCII if so wished, holding a banned word; (V,) bool."""
    lowered = [word.casefold() for word in banned]
    return np.array(
        [
            not piece.strip()
            or not piece.isprintable()
            or "\ufffd" in piece
            or (ascii_only and not piece.isascii())
            or any(word in piece.casefold() for word in lowered)
            for piece in pieces
        ]
    )


def promising(gradient: Tensor, mask: np.ndarray, top_k: int) -> Tensor:
    """Per position the allowed tokens with the most negative gradient: (L, V) → (L, top_k)."""
    blocked = gradient.masked_fill(torch.as_tensor(mask, device=gradient.device), torch.inf)
    return blocked.topk(min(top_k, int((~mask).sum())), dim=1, largest=False).indices.cpu()


def propose(
    token_ids: Sequence[int],
    choices: Tensor,
    width: int,
    surface: Surface,
    rng: np.random.Generator,
    *,
    swaps: int = 1,
    rounds: int = 4,
    reject: Sequence[str] = (),
) -> list[str]:
    """Up to `width` different texts, each `swaps` positions away from `token_ids`, that survive as text.

    `choices`: (L, k) tokens to draw from per position. A candidate whose text is tokenised differently in
    place is dropped and drawn again, at most `rounds` times over. Texts holding a `reject` word are dropped.
    """
    length, options = choices.shape
    table = choices.numpy()
    banned = [word.casefold() for word in reject]
    found: dict[str, None] = {}
    seen: set[tuple[int, ...]] = {tuple(token_ids)}
    for _ in range(rounds):
        fresh: list[tuple[int, ...]] = []
        for _ in range(width - len(found)):
            ids = list(token_ids)
            for position in rng.choice(length, size=min(swaps, length), replace=False):
                ids[position] = int(table[position, rng.integers(options)])
            key = tuple(ids)
            if key not in seen:
                seen.add(key)
                fresh.append(key)
        texts = surface.decode(fresh)
        for ids_, text, kept in zip(fresh, texts, surface.encode(texts), strict=True):
            if kept == ids_ and not any(word in text.casefold() for word in banned):
                found[text] = None
        if len(found) >= width:
            break
    return list(found)

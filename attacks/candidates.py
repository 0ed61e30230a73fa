"""Candidate texts of a greedy coordinate gradient step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from testbed.protocols import Surface

BLOCK_EVERY = 5
"""One candidate in this many is a block, where there are blocks."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that survives in place, and the tokens it is there."""

    text: str
    token_ids: tuple[int, ...]


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
    blocks: Sequence[tuple[int, ...]] = (),
) -> list[Candidate]:
    """Up to `width` different candidates, each `swaps` positions away from `token_ids`, that survive as text.

    `choices`: (L, k) tokens to draw from per position. A candidate whose text is tokenised differently in
    place is dropped and drawn again, at most `rounds` times over. Texts holding a `reject` word are dropped.
    One draw in `BLOCK_EVERY` writes one of the `blocks` somewhere into the text instead.
    """
    length, options = choices.shape
    table = choices.numpy()
    fitting = [block for block in blocks if len(block) <= length]
    banned = [word.casefold() for word in reject]
    found: dict[str, Candidate] = {}
    seen: set[tuple[int, ...]] = {tuple(token_ids)}
    for _ in range(rounds):
        fresh: list[tuple[int, ...]] = []
        for _ in range(width - len(found)):
            ids = list(token_ids)
            if fitting and rng.integers(BLOCK_EVERY) == 0:
                block = fitting[int(rng.integers(len(fitting)))]
                begin = int(rng.integers(length - len(block) + 1))
                ids[begin : begin + len(block)] = block
            else:
                for position in rng.choice(length, size=min(swaps, length), replace=False):
                    ids[position] = int(table[position, rng.integers(options)])
            key = tuple(ids)
            if key not in seen:
                seen.add(key)
                fresh.append(key)
        for candidate in surviving(fresh, surface):
            if not any(word in candidate.text.casefold() for word in banned):
                found[candidate.text] = candidate
        if len(found) >= width:
            break
    return list(found.values())


def surviving(sequences: Sequence[tuple[int, ...]], surface: Surface) -> list[Candidate]:
    """Those token sequences that are tokenised as themselves once written and rendered in place."""
    texts = surface.decode(sequences)
    return [
        Candidate(text, ids)
        for ids, text, kept in zip(sequences, texts, surface.encode(texts), strict=True)
        if kept == ids
    ]


def written(phrases: Sequence[str], surface: Surface) -> list[tuple[int, ...]]:
    """The tokens of phrases as they stand within a text; those that do not survive are left out."""
    return [ids for ids in surface.encode(phrases) if ids is not None] if phrases else []


def merged(
    token_ids: Sequence[int], ranked: Sequence[Candidate], count: int, surface: Surface
) -> list[Candidate]:
    """The best candidate, and what it becomes with the swaps of the next best merged in: 2, 4, 8, ... of them.

    `ranked`: best first. A position keeps the first swap it gets. Merging several coordinates a step follows
    Jia et al. 2024 (arXiv 2405.21018). Merges that do not survive as text are left out.
    """
    current = list(token_ids)
    steps: list[tuple[int, ...]] = []
    for candidate in ranked:
        swaps = [
            (place, new)
            for place, (old, new) in enumerate(zip(token_ids, candidate.token_ids, strict=True))
            if old != new and current[place] == old
        ]
        for place, new in swaps:
            current[place] = new
        if swaps:
            steps.append(tuple(current))
    sizes = dict.fromkeys(min(2**power, len(steps)) - 1 for power in range(count))
    return surviving([steps[size] for size in sizes if size >= 0], surface)

"""Fake users among those that are learnt from: poisoning of a training, to see how far one item gets by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from retrievers.rearec.data.interactions import Interactions
from retrievers.rearec.data.split import Split
from testbed.errors import UserError, did_you_mean, shown
from testbed.seeds import rng_for

Kind = Literal["random", "popular", "bandwagon"]
MOST_POPULAR = 0.02
"""Share of items that a bandwagon calls the most popular ones, at least ten."""
PREFIX = "fake user "


class Fakes(BaseModel):
    """Users that somebody invents to push one item, and how many he can afford."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, coerce_numbers_to_str=True
    )

    kind: Kind
    """What surrounds the target: items drawn evenly, by popularity, or half of each, the popular ones from the
    most popular alone (Mobasher et al. 2007, section 3)."""
    share: float = Field(gt=0, le=1)
    """Fake users, as a share of genuine ones; at least one."""
    target: str
    """The item that is pushed."""
    times: int = Field(default=1, ge=1)
    """How often the target stands in a fake history, spread evenly; the last item is always the target."""
    length: int | None = Field(default=None, ge=2)
    """Items of a fake history; as many as are learnt from of some genuine user when left out."""
    seed: int = 0
    """Of all that is drawn."""

    def count(self, genuine: int) -> int:
        """How many users that is; never more than the share, but for the one that there is at least."""
        return max(1, int(self.share * genuine + 1e-9))


def poisoned(split: Split, attackers: Sequence[Fakes]) -> Split:
    """The split with the fake users of every attacker behind the genuine ones: learnt from in whole, never measured.

    What is held out stays as it was. Attackers know how popular items are in what is learnt from, not each other.
    UserError for a target that is no item.
    """
    interactions = split.interactions
    counts = learnt_counts(split)
    histories = [one for fakes in attackers for one in _histories(split, fakes, counts)]
    if not histories:
        return split
    known = np.concatenate([split.known, [len(one) for one in histories]]).astype(split.known.dtype)
    return replace(split, interactions=_with(interactions, histories), known=known)


def fake_history(
    fakes: Fakes, target: int, counts: np.ndarray, length: int, rng: np.random.Generator
) -> list[int]:
    """One fake history, oldest first. `counts`: (n,) how often items are learnt from, by which popular ones are drawn.

    No item but the target stands in it twice while there are others.
    """
    times = min(fakes.times, length)
    others = np.delete(np.arange(len(counts)), target)
    wanted = min(length - times, len(others)) if len(others) else 0
    even, popular = np.ones(len(others)), counts[others] + 1e-9
    if fakes.kind == "bandwagon":
        top = others[np.argsort(-counts[others], kind="stable")[: max(10, round(MOST_POPULAR * len(counts)))]]
        chosen = rng.permutation(top)[: (wanted + 1) // 2]
        rest = np.setdiff1d(others, chosen)
        filler = rng.permutation(
            np.concatenate([chosen, rng.permutation(rest)[: wanted - len(chosen)]]).astype(np.int64)
        )
    else:
        weights = even if fakes.kind == "random" else popular
        filler = rng.choice(others, size=wanted, replace=False, p=weights / weights.sum())
    places = set(np.ceil(np.arange(1, times + 1) * (wanted + times) / times).astype(int) - 1)
    rest_of = iter(filler.tolist())
    return [target if place in places else int(next(rest_of)) for place in range(wanted + times)]


def learnt_counts(split: Split) -> np.ndarray:
    """How often every item stands in what is learnt from: (n,)."""
    found = np.zeros(len(split.interactions.items), dtype=np.int64)
    for user in range(len(split.interactions)):
        np.add.at(found, split.training(user), 1)
    return found


def _histories(split: Split, fakes: Fakes, counts: np.ndarray) -> list[list[int]]:
    items = split.interactions.items
    if fakes.target not in items:
        hint = did_you_mean(fakes.target, items)
        raise UserError(
            f"fakes: target: no item {shown(fakes.target)} in the interactions"
            + (f"; {hint}" if hint else "")
        )
    target = items.index(fakes.target)
    rng = rng_for("fakes", fakes.kind, fakes.target, fakes.times, fakes.length or 0, fakes.seed)
    genuine = split.known[split.known > 0]
    drawn = genuine[rng.integers(len(genuine), size=fakes.count(len(split.interactions)))]
    lengths = np.maximum(2, drawn) if fakes.length is None else np.full(len(drawn), fakes.length)
    return [fake_history(fakes, target, counts, length, rng) for length in lengths.tolist()]


def _with(interactions: Interactions, histories: list[list[int]]) -> Interactions:
    """The same with further users; their times are the newest that there are."""
    ptr = interactions.ptr[-1] + np.cumsum([len(one) for one in histories], dtype=np.int64)
    rows = np.concatenate([np.asarray(one, dtype=np.int32) for one in histories])
    times = interactions.times
    return replace(
        interactions,
        users=(*interactions.users, *(f"{PREFIX}{place}" for place in range(len(histories)))),
        ptr=np.concatenate([interactions.ptr, ptr]),
        rows=np.concatenate([interactions.rows, rows]),
        times=None if times is None else np.concatenate([times, np.full(len(rows), times.max(initial=0.0))]),
    )

"""One ranking from several: Borda's count and Kemeny's median."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from testbed.types import Listing, Slate, Usage

EXACT = 9
"""Most listings for which Kemeny's median is searched among all orders."""


def elected(slate: Slate, answers: Sequence[Slate], method: str) -> Slate:
    """The rankings of a slate as one, listings as they came, each with its Borda count a vote as score.

    Listed is what at least half of the votes list. A single vote is handed on as it is.
    """
    usage = sum((answer.usage for answer in answers), Usage())
    came = {listing.item_id: listing for listing in _listed(slate, answers)}
    if len(answers) == 1:
        (answer,) = answers
        return replace(
            answer, listings=tuple(replace(came[one.item_id], score=one.score) for one in answer.listings)
        )
    ranks = [{item_id: rank for rank, item_id in enumerate(answer.ids)} for answer in answers]
    ids = [item_id for item_id in came if 2 * sum(item_id in one for one in ranks) >= len(answers)]
    counts = {item_id: _borda(item_id, ranks) for item_id in ids}
    order = sorted(ids, key=lambda item_id: (-counts[item_id], item_id))
    if method == "kemeny":
        order = [order[place] for place in kemeny(preferred(order, ranks))]
    failed = next((answer for answer in answers if answer.status != "ok"), answers[0])
    return Slate(
        tuple(replace(came[item_id], score=counts[item_id]) for item_id in order),
        failed.status,
        usage,
        failed.note,
        answers[0].shown,
        answers[0].detail,
    )


def preferred(ids: Sequence[str], ranks: Sequence[dict[str, int]]) -> np.ndarray:
    """How many votes put one item before another, (m, m) int64; what is not listed comes last."""
    last = max((len(one) for one in ranks), default=0)
    places = np.array([[one.get(item_id, last) for item_id in ids] for one in ranks], dtype=np.int64)
    found: np.ndarray = (places[:, :, None] < places[:, None, :]).sum(0)
    return found


def kemeny(wins: np.ndarray) -> list[int]:
    """The order that contradicts the fewest preferences (Kemeny 1959); (m, m) votes for row before column.

    Exact for up to 9 listings; for more the given order is improved by moving single listings as long as that helps.
    Among equals the order nearest to the given one is taken first.
    """
    return _exact(wins) if len(wins) <= EXACT else _local(wins)


def _exact(wins: np.ndarray) -> list[int]:
    """Over subsets: the cheapest order of a subset ends in some item, behind the cheapest order of the rest."""
    count = len(wins)
    cost, last = [0] * (1 << count), [-1] * (1 << count)
    rows = wins.tolist()
    for subset in range(1, 1 << count):
        members = [item for item in range(count) if subset >> item & 1]
        best = None
        for item in reversed(members):
            total = cost[subset ^ (1 << item)] + sum(rows[item][other] for other in members if other != item)
            if best is None or total < best:
                best, last[subset] = total, item
        cost[subset] = best or 0
    order, left = [], (1 << count) - 1
    while left:
        order.append(last[left])
        left ^= 1 << last[left]
    return order[::-1]


def _local(wins: np.ndarray) -> list[int]:
    order = list(range(len(wins)))
    gain = wins - wins.T
    improved = True
    while improved:
        improved = False
        for item in order:
            place = order.index(item)
            rest = order[:place] + order[place + 1 :]
            # cost of standing at each gap, relative to standing first: each item passed costs what prefers us to it
            steps = np.concatenate([[0], np.cumsum(gain[item, rest])])
            best = int(steps.argmin())
            if steps[best] < steps[place]:
                order = [*rest[:best], item, *rest[best:]]
                improved = True
    return order


def _borda(item_id: str, ranks: Sequence[dict[str, int]]) -> float:
    return sum(len(one) - one[item_id] for one in ranks if item_id in one) / len(ranks)


def _listed(slate: Slate, answers: Sequence[Slate]) -> list[Listing]:
    wanted = {item_id for answer in answers for item_id in answer.ids}
    return [listing for listing in slate.listings if listing.item_id in wanted]

"""Requests of a catalog with what was said and looked at before them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from retrievers.shoppers.facts import Facts
from retrievers.shoppers.talk import Wish, acceptance, needs_of, opening
from retrievers.shoppers.visits import session
from testbed.seeds import derive

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.types import Request

BEST = 3
"""The grade of items that a history leaves out: who had them would not ask."""
SHARPNESS = 1.5
"""Nats of utility for a grade."""


def talked_over(catalog: Catalog, what: str, histories: bool, seed: int) -> tuple[Request, ...]:
    """Every request with a dialogue and a goal, and with a history where it has none and one is wished for.

    What a request already has stays. Each follows from the seed and the request's id, whatever others there are.
    """
    what = what or catalog.name.replace("_", " ")
    alike = None
    if histories:
        vectors = Facts.of(catalog).vectors
        alike = vectors @ vectors.T
    found = []
    for request in catalog.requests:
        rng = np.random.default_rng(derive(seed, "talk", request.id))
        wish = Wish(what, request.text, needs_of(request.constraints))
        said = replace(
            request,
            dialogue=request.dialogue or opening(wish, rng),
            goal=request.goal or acceptance(wish, rng),
        )
        if alike is not None and not request.history:
            said = replace(said, history=_looked_at(catalog, request, alike, rng))
        found.append(said)
    return tuple(found)


def _looked_at(
    catalog: Catalog, request: Request, alike: np.ndarray, rng: np.random.Generator
) -> tuple[str, ...]:
    """Items that a shopper with the request's grades may have looked at, oldest first, none of the best grade."""
    grades = catalog.judgements.get(request.id, {})
    offered = set(request.candidates)
    rows = [
        row
        for row, item in enumerate(catalog.ids)
        if grades.get(item, 0) < BEST and (not offered or item in offered)
    ]
    if not rows:
        return ()
    utility = SHARPNESS * np.array([float(grades.get(catalog.ids[row], 0)) for row in rows])
    return tuple(catalog.ids[rows[place]] for place in session(utility, alike[np.ix_(rows, rows)], rng))

"""Leave one field out: how many places does a listing lose when one of its fields is emptied?

A text that wins whatever is asked carries its listing's rank on most requests; an honest field does so where it is
what was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from testbed.catalog import Catalog
from testbed.seeds import rng_for
from testbed.stack import Call, Scope, Stack
from testbed.types import Request, Situation, Slate, TextEdit

BATCH = 64
"""Rankings that are asked for at once."""


@dataclass(frozen=True, slots=True)
class FieldEffect:
    """What emptying one field does to a listing's rank, over requests and presentation orders.

    `pairs`: rankings with and without the field. `fell`, `rose`: pairs in which it lost or won at least so many
    places as count for a jump. `dropped`, `entered`: pairs in which it was listed only with, only without it.
    `lost`: median of the places lost; a listing that is left out counts as just behind the last one.
    """

    field: str
    pairs: int
    fell: int
    rose: int
    dropped: int
    entered: int
    lost: float

    @property
    def share(self) -> float:
        """Share of pairs in which the listing fell."""
        return self.fell / self.pairs if self.pairs else 0.0


def draw(catalog: Catalog, count: int | None) -> tuple[Request, ...]:
    """So many requests, drawn by the catalog's content; all of them without a number."""
    requests = list(catalog.requests)
    if count is None or count >= len(requests):
        return tuple(requests)
    rng_for(catalog.fingerprint, "audit").shuffle(requests)
    return tuple(requests[:count])


def as_they_are(stack: Stack, requests: Sequence[Request], orders: int) -> dict[tuple[str, int], Slate]:
    """(request, order) → the ranking of the catalog as it is."""
    keys = [(request, order) for request in requests for order in range(orders)]
    found: dict[tuple[str, int], Slate] = {}
    for start in range(0, len(keys), BATCH):
        part = keys[start : start + BATCH]
        calls = [Call(request, Situation(request.id, order)) for request, order in part]
        for (request, order), outcome in zip(part, stack.run(calls, Scope()), strict=True):
            found[request.id, order] = outcome.slate
    return found


def field_effects(
    stack: Stack,
    item_id: str,
    requests: Sequence[Request],
    before: Mapping[tuple[str, int], Slate],
    jump: int,
) -> Iterator[FieldEffect]:
    """The effect of every field of one listing. `before`: see `as_they_are`; `jump`: places that count."""
    asked = [one for one in requests if not one.candidates or item_id in one.candidates]
    orders = sorted({order for _, order in before})
    keys = [(request, order) for request in asked for order in orders]
    scope = Scope()
    for field in stack.catalog.fields(item_id):
        edit = (TextEdit(item_id, field, "", "replace"),)
        calls = [Call(request, Situation(request.id, order), edit, item_id) for request, order in keys]
        after = [
            outcome.slate
            for start in range(0, len(calls), BATCH)
            for outcome in stack.run(calls[start : start + BATCH], scope)
        ]
        yield _effect(field, item_id, [before[request.id, order] for request, order in keys], after, jump)


def _effect(
    field: str, item_id: str, before: Sequence[Slate], after: Sequence[Slate], jump: int
) -> FieldEffect:
    pairs = [(_rank(old, item_id), _rank(new, item_id)) for old, new in zip(before, after, strict=True)]
    lost = [new[0] - old[0] for old, new in pairs]
    return FieldEffect(
        field,
        len(pairs),
        sum(places >= jump for places in lost),
        sum(places <= -jump for places in lost),
        sum(old[1] and not new[1] for old, new in pairs),
        sum(new[1] and not old[1] for old, new in pairs),
        float(median(lost)) if lost else 0.0,
    )


def _rank(slate: Slate, item_id: str) -> tuple[int, bool]:
    """(rank, listed); behind the last one where it is not listed, the least that it can have lost."""
    rank = slate.rank_of(item_id)
    return (rank, True) if rank is not None else (len(slate) + 1, False)

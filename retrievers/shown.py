"""What a retriever is shown (the edited catalog, or an earlier stage's slate) and what it hands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from testbed.catalog import Catalog, SourceListings
from testbed.errors import UserError, did_you_mean, listed
from testbed.types import Intervention, Listing, Request, Slate

if TYPE_CHECKING:
    from torch import Tensor

    from testbed.protocols import Objective, Probe


CHUNK = 4096
"""Vectors that are multiplied at once."""


class Documents:
    """The text that a retriever reads of every item: the searched fields, a line each. Made on demand."""

    def __init__(self, catalog: Catalog, fields: Sequence[str]) -> None:
        self.catalog, self.fields = catalog, tuple(fields)

    def __len__(self) -> int:
        return len(self.catalog)

    def text(self, row: int) -> str:
        """The text of one item as the vendor wrote it."""
        return "\n".join(filter(None, (self.catalog.columns[name][row] for name in self.fields)))

    def text_of(self, fields: Mapping[str, str]) -> str:
        """The text of a listing as it is shown."""
        return "\n".join(filter(None, (fields.get(name, "") for name in self.fields)))

    def edited(self, intervention: Intervention) -> dict[int, str]:
        """Row → text of every item whose text an intervention changes."""
        source = SourceListings(self.catalog, intervention)
        rows = sorted({self.catalog.rows[edit.item_id] for edit in intervention})
        return self.changed(rows, [source[row] for row in rows])

    def changed(self, rows: Sequence[int], listings: Sequence[Listing]) -> dict[int, str]:
        """Row → text of every listing whose text is not the vendor's."""
        texts = {row: self.text_of(listing.fields) for row, listing in zip(rows, listings, strict=True)}
        return {row: text for row, text in texts.items() if text != self.text(row)}

    @cached_property
    def id_ranks(self) -> np.ndarray:
        """Place of each row when ids are sorted as text, (n,) int64: what ties are broken by."""
        order = sorted(range(len(self.catalog)), key=self.catalog.ids.__getitem__)
        ranks = np.empty(len(order), dtype=np.int64)
        ranks[order] = np.arange(len(order))
        return ranks


def searched_fields(stage: str, wanted: Sequence[str] | None, catalog: Catalog) -> tuple[str, ...]:
    """The fields to search; UserError for a field that the catalog does not have."""
    if wanted is None:
        return tuple(catalog.columns)
    for name in wanted:
        if name not in catalog.columns:
            hint = did_you_mean(name, catalog.columns) or f"it has {listed(catalog.columns)}"
            raise UserError(f"stage {stage}: fields: catalog {catalog.name!r} has no field {name!r}; {hint}")
    return tuple(dict.fromkeys(wanted))


def query_of(request: Request) -> str:
    """What is searched for: everything the user said, oldest first."""
    return "\n".join(filter(None, (*request.dialogue, request.text)))


def source_of(slate: Slate) -> SourceListings | None:
    """The whole catalog behind a slate that no stage has touched, else None. Nothing is walked."""
    return slate.listings if isinstance(slate.listings, SourceListings) else None


def products(vectors: np.ndarray, aim: np.ndarray) -> np.ndarray:
    """Inner products (n,) float64 of vectors (n, d) with one (d,).

    Summed row by row in float64, so that a row's result does not depend on its neighbours.
    """
    result = np.empty(len(vectors))
    for start in range(0, len(vectors), CHUNK):
        part = vectors[start : start + CHUNK]
        result[start : start + CHUNK] = np.multiply(part, aim, dtype=np.float64).sum(axis=1)
    return result


def best(scores: np.ndarray, ranks: np.ndarray, k: int) -> np.ndarray:
    """Indexes of the k best scores, best first, ties by `ranks`: (min(k, n),) int64."""
    pool = np.arange(len(scores))
    if k < len(scores):
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        pool = np.flatnonzero(scores >= threshold)
    order = np.lexsort((ranks[pool], -scores[pool]))
    return pool[order[:k]]


def ranked(slate: Slate, scores: np.ndarray, ranks: np.ndarray, k: int) -> Slate:
    """The k best of a small slate with their scores; the listings themselves are handed on as they came."""
    chosen = [(slate.listings[int(index)], float(scores[index])) for index in best(scores, ranks, k)]
    return Slate(tuple(replace(listing, score=score) for listing, score in chosen))


def loss_at(own: Tensor, column: int, scores: Tensor, objective: Objective) -> Tensor:
    """Objective where the target's score is `own`, a scalar, and all scores are (n,): a scalar that follows `own`."""
    import torch

    from testbed.protocols import Scores

    own = own.to(torch.float64)
    if objective.rivals:
        scores = scores.to(own)
        total = torch.cat([scores[:column], own[None], scores[column + 1 :]])[None]
    else:
        total, column = own[None, None], 0
    return objective(Scores(total=total, length=torch.ones(total.shape[1]), target=column)).sum()


def objective_of(probe: Probe, variants: Sequence[np.ndarray], objective: Objective) -> np.ndarray:
    """Objective of each variant's scores in the order of its slate, (variants,) float64; inf without the target.

    A defence may have dropped the target from some of the slates: what is alike is computed together.
    """
    import torch

    from testbed.protocols import Scores

    losses = np.full(len(variants), np.inf)
    alike: dict[tuple[int, int], list[int]] = {}
    for index, slate in enumerate(probe.slates):
        column = column_of(slate, probe.context.target_id or "")
        if column is not None:
            alike.setdefault((len(variants[index]), column), []).append(index)
    for (_, column), group in alike.items():
        total = torch.from_numpy(np.stack([variants[index] for index in group]).astype(np.float64))
        target = column
        if not objective.rivals:
            total, target = total[:, column : column + 1], 0
        values = objective(Scores(total=total, length=torch.ones(total.shape[1]), target=target))
        losses[group] = values.detach().double().cpu().numpy()
    return losses


def rows_of(slate: Slate, catalog: Catalog) -> np.ndarray:
    """The catalog's row of each listing of a slate, (len(slate),) int64. A whole catalog is not walked."""
    if source_of(slate) is not None:
        return np.arange(len(slate))
    return np.array([catalog.rows[item_id] for item_id in slate.ids], dtype=np.int64)


def column_of(slate: Slate, item_id: str) -> int | None:
    """Where an item stands in a slate, from 0; None where it does not. A whole catalog is not walked."""
    source = source_of(slate)
    if source is not None:
        return source.catalog.rows.get(item_id)
    rank = slate.rank_of(item_id)
    return None if rank is None else rank - 1

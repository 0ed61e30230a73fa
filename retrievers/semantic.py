"""The dense stage: a flat inner-product index over unit vectors; scores what it is shown, edits included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from retrievers.embeddings import embeddings_of
from retrievers.encoded import EncodedSurface
from retrievers.shown import (
    Documents,
    best,
    loss_at,
    objective_of,
    products,
    query_of,
    ranked,
    rows_of,
    source_of,
)
from testbed.catalog import SourceListings
from testbed.protocols import TokenGradient
from testbed.types import Intervention, Slate, Target, Usage

if TYPE_CHECKING:
    from retrievers.dense import Dense
    from testbed.catalog import Catalog
    from testbed.language.encoder import Encoder
    from testbed.protocols import Context, Objective, Probe

DECIMALS = 5
"""Cosines are rounded to this many decimals: encoding a text among others moves them by about 1e-7."""


@dataclass(frozen=True)
class SemanticRetriever:
    """Rank by cosine. `index` holds the clean catalog; `edited` holds the vectors of edited rows instead.

    A slate that comes from an earlier stage is ranked by the texts in it: what differs from the catalog is
    encoded anew.
    """

    options: Dense
    documents: Documents
    encoder: Encoder
    vectors: np.ndarray
    index: Any
    intervention: Intervention = ()
    edited: Mapping[int, np.ndarray] = field(default_factory=dict)

    @classmethod
    def over(
        cls, catalog: Catalog, options: Dense, fields: Sequence[str], encoder: Encoder, cache: Path
    ) -> SemanticRetriever:
        """Embed a catalog and index it."""
        import faiss

        documents = Documents(catalog, fields)
        vectors = embeddings_of(documents, encoder, cache)
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(np.ascontiguousarray(vectors))
        return cls(options, documents, encoder, vectors, index)

    def with_edits(self, intervention: Intervention) -> SemanticRetriever:
        """The stage over the edited catalog; only the edited items are encoded."""
        edited = self._encoded(self.documents.edited(intervention))
        return replace(self, intervention=intervention, edited=edited)

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        (slate,) = inputs
        ranks, k = self.documents.id_ranks, self.options.k
        source = source_of(slate)
        if source is None:
            scores = self.scores(context, slate)
            return ranked(slate, scores, ranks[rows_of(slate, self.documents.catalog)], k)
        rows, scores = self._at(source)._nearest(self._query(context))
        chosen = best(scores, ranks[rows], k)
        ids = self.documents.catalog.ids
        return Slate(tuple(source.listing(ids[rows[place]], float(scores[place])) for place in chosen))

    def losses(self, probe: Probe, objective: Objective) -> tuple[np.ndarray, Usage]:
        """Objective over the cosines of all listings of each variant: (len(slates),) float64."""
        variants = [self.scores(probe.context, slate) for slate in probe.slates]
        return objective_of(probe, variants, objective), Usage()

    def gradient(
        self, context: Context, slate: Slate, target: Target, objective: Objective
    ) -> tuple[TokenGradient, Usage]:
        """Gradient through the encoder with respect to the tokens of the target's edit. ValueError without one."""
        query = torch.from_numpy(self._query(context))
        rank = slate.rank_of(target.item_id)
        if rank is None:
            raise ValueError("the target is not in the slate")
        others = torch.from_numpy(self.scores(context, slate))

        def loss(vector: torch.Tensor) -> torch.Tensor:
            return loss_at(vector @ query.to(vector.device), rank - 1, others, objective)

        listing = source.listing(target.item_id) if (source := source_of(slate)) else slate.listings[rank - 1]
        return self.surface(target).gradient(listing, loss), Usage(gradient_calls=1)

    def surface(self, target: Target) -> EncodedSurface:
        """How text in the target's field is tokenised by the encoder."""
        return EncodedSurface(self.encoder, self.documents, target)

    def scores(self, context: Context, slate: Slate) -> np.ndarray:
        """Cosines of a slate's listings in its order, (len(slate),) float64, rounded."""
        query = self._query(context)
        source = source_of(slate)
        if source is not None:
            stage = self._at(source)
            scores = cosines(self.vectors, query)
            for row, vector in stage.edited.items():
                scores[row] = cosines(vector[None], query)[0]
            return scores
        rows = rows_of(slate, self.documents.catalog)
        shown = self._encoded(self.documents.changed(rows.tolist(), list(slate)))
        vectors = (
            np.stack([shown.get(row, self.vectors[row]) for row in rows.tolist()]) if len(rows) else None
        )
        return cosines(vectors, query) if vectors is not None else np.zeros(0)

    def _nearest(self, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and rounded cosines among which the k best are, every tie at the k-th place included."""
        size = len(self.documents)
        wanted = min(size, self.options.k + len(self.edited) + 1)
        while True:
            _, found = self.index.search(query[None], wanted)
            rows = np.array([row for row in found[0] if row >= 0 and row not in self.edited], dtype=np.int64)
            scores = cosines(self.vectors[rows], query)
            if wanted >= size or scores[self.options.k - 1] > scores[-1]:
                break
            wanted = min(size, wanted * 4)
        own = np.array(list(self.edited), dtype=np.int64)
        extra = [cosines(vector[None], query)[0] for vector in self.edited.values()]
        return np.concatenate((rows, own)), np.concatenate((scores, np.array(extra)))

    def _at(self, source: SourceListings) -> SemanticRetriever:
        """This stage with the edits of the source it is shown."""
        same = source.intervention == self.intervention
        return self if same else self.with_edits(source.intervention)

    def _query(self, context: Context) -> np.ndarray:
        """Unit vector of the request, (dimensions,) float32; encoded once a trial."""
        text = query_of(context.request)
        key = ("query vector", self.encoder.fingerprint, text)
        if key not in context.memo:
            context.memo[key] = self.encoder.encode([text])[0]
        vector: np.ndarray = context.memo[key]
        return vector

    def _encoded(self, texts: Mapping[int, str]) -> dict[int, np.ndarray]:
        # one at a time: padding with other texts would change the last bits
        return {row: self.encoder.encode([text])[0] for row, text in texts.items()}


def cosines(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Inner products (n,) float64 of unit vectors (n, d) with one (d,), rounded."""
    return products(vectors, query).round(DECIMALS)

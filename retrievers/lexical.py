"""The BM25 stage: scores what it is shown, edits and rewritten listings included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from retrievers.postings import Corpus, Formula, Postings, tokenized
from retrievers.shown import Documents, best, objective_of, query_of, ranked, rows_of, source_of
from testbed.types import Intervention, Slate, Target, Usage

if TYPE_CHECKING:
    from retrievers.bm25 import BM25
    from testbed.catalog import Catalog
    from testbed.protocols import Context, Objective, Probe, Sought

DECIMALS = 9
"""Scores are rounded to this many decimals, so that the last bits do not break ties."""


@dataclass(frozen=True)
class LexicalRetriever:
    """Rank by BM25. Word statistics are those of the whole catalog with the edits in place.

    A slate that comes from an earlier stage is ranked by the texts in it; the statistics are still the
    catalog's.
    """

    options: BM25
    documents: Documents
    corpus: Corpus
    intervention: Intervention = ()

    @classmethod
    def over(cls, catalog: Catalog, options: BM25, fields: tuple[str, ...]) -> LexicalRetriever:
        """Index a catalog."""
        documents = Documents(catalog, fields)
        texts = (documents.text(row) for row in range(len(documents)))
        return cls(options, documents, Corpus(Postings.of(texts, options.stopwords)))

    def with_edits(self, intervention: Intervention) -> LexicalRetriever:
        """The stage as if the index had been built on the edited catalog; costs the edited documents only."""
        counted = self._counted(self.documents.edited(intervention))
        return replace(self, intervention=intervention, corpus=Corpus(self.corpus.postings, counted))

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        (slate,) = inputs
        scores, ranks = self.scores(context, slate), self.documents.id_ranks
        source = source_of(slate)
        if source is None:
            return ranked(slate, scores, ranks[rows_of(slate, self.documents.catalog)], self.options.k)
        ids = self.documents.catalog.ids
        chosen = best(scores, ranks, self.options.k)
        return Slate(tuple(source.listing(ids[row], float(scores[row])) for row in chosen))

    def losses(self, probe: Probe, objective: Objective) -> tuple[np.ndarray, Usage]:
        """Objective over the BM25 scores of all listings of each variant: (len(slates),) float64."""
        variants = [self.scores(probe.context, slate) for slate in probe.slates]
        return objective_of(probe, variants, objective), Usage()

    def sought(self, calls: Sequence[tuple[Context, Slate]], target: Target) -> tuple[list[Sought], Usage]:
        """The words of each request with their idf, as if one more listing held them."""
        from testbed.protocols import Piece, Sought

        if target.field not in self.documents.fields:
            return [Sought(())] * len(calls), Usage()
        formula = Formula(self.options.method, self.options.k1, self.options.b)
        found = []
        for context, _ in calls:
            counted = Counter(tokenized([query_of(context.request)], self.options.stopwords)[0])
            pieces = []
            for word, times in counted.items():
                holding = len(self.corpus.holding(word)[0])
                weight = times * formula.idf(len(self.documents), min(holding + 1, len(self.documents)))
                if weight > 0:
                    pieces.append(Piece(word, weight, known=holding > 0))
            found.append(Sought(tuple(sorted(pieces, key=lambda piece: -piece.weight))))
        return found, Usage()

    def scores(self, context: Context, slate: Slate) -> np.ndarray:
        """Scores of a slate's listings in its order, (len(slate),) float64, rounded."""
        query = tokenized([query_of(context.request)], self.options.stopwords)[0]
        formula = Formula(self.options.method, self.options.k1, self.options.b)
        source = source_of(slate)
        if source is not None:
            edited = (
                self if source.intervention == self.intervention else self.with_edits(source.intervention)
            )
            return edited.corpus.scores(query, formula).round(DECIMALS)
        rows = rows_of(slate, self.documents.catalog)
        unseen = {row: words for row, words in self.corpus.replaced.items() if row not in rows}
        shown = self._counted(self.documents.changed(rows.tolist(), list(slate)))
        scores = Corpus(self.corpus.postings, unseen | shown).scores(query, formula)[rows]
        return np.asarray(scores.round(DECIMALS))

    def _counted(self, texts: Mapping[int, str]) -> dict[int, Counter[str]]:
        words = tokenized(list(texts.values()), self.options.stopwords)
        return {row: Counter(found) for row, found in zip(texts, words, strict=True)}

"""What SEAL's model is taught: spans and titles behind the prompts of queries; validated by retrieval."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from retrievers.seal.index import EditedIndex, NgramIndex
from retrievers.seal.plugin import SEAL
from retrievers.seal.stage import GenerativeRetriever
from retrievers.seal.tuning.spans import Text, drawn, stretch
from testbed.errors import UserError
from testbed.language.batch import Batch
from testbed.language.layout import Block
from testbed.language.rows import Prefix, Row
from testbed.measures.base import Seen
from testbed.measures.quality import quality
from testbed.protocols import Context
from testbed.seeds import rng_for
from testbed.tuning import Taught
from testbed.types import Request, Situation

if TYPE_CHECKING:
    from retrievers.seal.tuning.options import SealTrainer
    from testbed.catalog import Catalog
    from testbed.environment import Environment
    from testbed.language import LanguageModel

CUT = 10
"""Quality is nDCG at this rank."""
LONGEST_TITLE = 24


@dataclass(frozen=True, slots=True)
class Split:
    """Requests to learn from and requests held out, by the hash of their id and the seed."""

    train: tuple[Request, ...]
    held_out: tuple[Request, ...]

    @classmethod
    def of(cls, catalog: Catalog, share: float, seed: int, most: int | None = None) -> Split:
        """UserError where either part would be empty. `most`: learn from so many, of which fewer are a part."""
        judged = [
            request for request in catalog.requests if any(catalog.judgements.get(request.id, {}).values())
        ]
        kept = [rng_for(seed, "held out", request.id).random() < share for request in judged]
        found = cls(
            tuple(request for request, out in zip(judged, kept, strict=True) if not out),
            tuple(request for request, out in zip(judged, kept, strict=True) if out),
        )
        if not found.train or not found.held_out:
            raise UserError(
                f"catalog {catalog.name!r}: {len(judged)} requests with judgements cannot be split into some to "
                "learn from and some to validate on"
            )
        chosen = sorted(found.train, key=lambda one: rng_for(seed, "learnt from", one.id).random())[:most]
        return replace(found, train=tuple(one for one in found.train if one in set(chosen)))


class Lessons:
    """Queries with spans of their documents, in units of one pass each."""

    units = 2

    def __init__(self, model: LanguageModel, options: SealTrainer, env: Environment) -> None:
        self.model, self.options, self.env = model, options, env
        self.catalog = options.catalog.load()
        self.split = Split.of(self.catalog, options.held_out, options.seed, options.train_requests)
        self._texts: dict[int, Text] = {}
        self._retriever = GenerativeRetriever.with_model(self.catalog, self._stage(), model, env)
        self._rarity = _rarity(self._retriever.index, len(model.pieces))
        (self._newline,) = model.encode_many(["\n"])

    def unit(self, step: int, index: int) -> Taught:
        """Half of an update's queries."""
        rng = np.random.default_rng([self.options.seed, 3, step, index])
        count = max(1, self.options.batch // self.units)
        rows = [row for row in (self._row(rng) for _ in range(count)) if row is not None]
        if not rows:
            raise UserError(f"catalog {self.catalog.name!r}: its documents have no words to learn")
        batch = Batch.of([Block.of(Prefix(), [row]) for row in rows], self.model.device)
        logits = self.model.logits(self.model.hidden(batch)[batch.where])
        losses = logits.logsumexp(1) - logits.gather(1, batch.answers[:, None])[:, 0]
        return Taught(losses.sum(), 0.0, len(losses), sum(row.width for row in rows))

    def look(self, rank: int, processes: int) -> tuple[float, float]:
        """How much nDCG@10 is missing on held-out requests."""
        asked = self.split.held_out[: self.options.validation_requests][rank::processes]
        found = self.quality(asked, beams=self.options.validation_beams)
        return float(np.sum(1 - np.asarray(found))), float(len(found))

    def quality(self, asked: tuple[Request, ...], beams: int | None = None) -> list[float]:
        """nDCG@10 of requests under the model as it is now. `beams`: other than the retriever's."""
        stage = self._retriever.asked_anew()
        if beams is not None:
            stage = stage.with_options(stage.options.model_copy(update={"beams": beams}))
        source = self.catalog.source()
        found: list[float] = []
        for begin in range(0, len(asked), 8):
            some = asked[begin : begin + 8]
            calls = [(Context(one, Situation(one.id, 0), None, 0), (source,)) for one in some]
            for one, slate in zip(some, stage.many(calls), strict=True):
                seen = Seen(tuple(slate.ids), relevance=self.catalog.judgements[one.id])
                found.append(float(quality(f"nDCG@{CUT}").of([seen])[0]))
        return found

    def _stage(self) -> SEAL:
        options = self.options
        return SEAL(
            model=options.model,
            k=100,
            fields=options.fields,
            titles=options.titles > 0,
            length=options.length,
            prompt=options.prompt,
            title_prompt=options.title_prompt,
        )

    def _row(self, rng: np.random.Generator) -> Row | None:
        """A query with some spans of a document, or its title; None for a document without words."""
        if rng.random() < self.options.unsupervised:
            row = int(rng.integers(len(self.catalog)))
            query = self._instead_of_a_query(row, rng)
        else:
            request = self.split.train[int(rng.integers(len(self.split.train)))]
            grades = self.catalog.judgements[request.id]
            ids = sorted(item for item, grade in grades.items() if grade > 0)
            row = self.catalog.rows[ids[int(rng.integers(len(ids)))]]
            query = request.text
        prompt = self.options.prompt
        if rng.random() < self.options.titles:
            prompt, branches = self.options.title_prompt, self._title(row)
        else:
            options = self.options
            branches = drawn(
                self._text(row), query, options.spans, options.length, options.sharpness, rng, self._rarity
            )
        if not branches or not query:
            return None
        return Row(tuple(self.model.encode(prompt.replace("{query}", query))), tuple(branches))

    def _instead_of_a_query(self, row: int, rng: np.random.Generator) -> str:
        """The title, which is what many queries look like, or some words of the text."""
        if rng.random() < 0.5:
            return self._name(row)
        return stretch(self._text(row), self.model, rng)

    def _name(self, row: int) -> str:
        return self.catalog.columns[self.catalog.name_field][row]

    def _title(self, row: int) -> list[tuple[int, ...]]:
        tokens = self.model.encode(f" {self._name(row)}")[:LONGEST_TITLE]
        return [(*tokens, *self._newline)]

    def _text(self, row: int) -> Text:
        """Title, where the retriever has it apart, and body."""
        if row not in self._texts:
            corpus, found = self._retriever.corpus, None
            for documents in (corpus.names, corpus.bodies):
                if documents:
                    part = Text.of(self.model.encode(f" {documents.text(row)}"), self.model.pieces)
                    found = found.then(part) if found else part
            assert found
            self._texts[row] = found
        return self._texts[row]


def _rarity(index: NgramIndex | EditedIndex, vocabulary: int) -> np.ndarray:
    """How rare tokens are in the corpus, from 0 to 1 for one that occurs once: (V,) float64."""
    tokens, counts = index.unigrams
    found = np.ones(vocabulary)
    found[tokens] = 1 - np.log(counts) / np.log(max(2, index.tokens))
    return found

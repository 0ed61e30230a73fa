"""The SEAL stage: a model writes n-grams of the catalog, and listings are ranked by those they hold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from retrievers.seal import queries, seeking
from retrievers.seal.asking import Asker, Reader, asker, causal
from retrievers.seal.corpus import Corpus
from retrievers.seal.decoding import Search, generate
from retrievers.seal.index import EditedIndex, NgramIndex
from retrievers.seal.index.arrays import Document
from retrievers.seal.keys import Keys, copied
from retrievers.seal.scoring import ABSENT, NO_SINGLES, Found, Scoring, Singles, scored
from retrievers.shown import best, objective_of, query_of, ranked, rows_of, searched_fields, source_of
from testbed.language.special import disarmed
from testbed.types import Intervention, Slate, Target, Usage

if TYPE_CHECKING:
    from retrievers.seal.plugin import SEAL
    from testbed.catalog import Catalog
    from testbed.environment import Environment
    from testbed.language import LanguageModel
    from testbed.protocols import Context, Objective, Probe, Sought

DECIMALS = 4
"""Scores are rounded to this many decimals, so that the last bits of probabilities do not break ties."""
ANSWERS = 512
"""Answers that are kept; presentation orders ask for the same ones."""


State = tuple[tuple[int, tuple[int, ...], tuple[int, ...]], ...]
"""What is different from the catalog: row, title and body of every changed document."""


@dataclass(frozen=True)
class Answer:
    """What came of one query on one state of the corpus."""

    keys: Keys
    singles: Singles
    found: Found


@dataclass(frozen=True)
class GenerativeRetriever:
    """Rank by generated n-grams. `index` holds the catalog with `intervention` in place.

    A slate that comes from an earlier stage is ranked by the texts in it; n-grams are still those of the whole catalog.
    """

    options: SEAL
    corpus: Corpus
    index: NgramIndex | EditedIndex
    reader: Reader
    asker: Asker | None
    intervention: Intervention = ()
    state: State = ()
    _answers: OrderedDict[tuple[State, str], Answer] = field(default_factory=OrderedDict, repr=False)

    @classmethod
    def over(cls, catalog: Catalog, options: SEAL, env: Environment) -> GenerativeRetriever:
        """Index a catalog and load the model."""
        asked, reader = asker(options, env)
        return cls._over(catalog, options, env, asked, reader)

    @classmethod
    def with_model(
        cls, catalog: Catalog, options: SEAL, model: LanguageModel, env: Environment
    ) -> GenerativeRetriever:
        """Index a catalog for a model that is at hand, for instance in training."""
        return cls._over(catalog, options, env, causal(model, options), model)

    @classmethod
    def _over(
        cls, catalog: Catalog, options: SEAL, env: Environment, asked: Asker | None, reader: Reader
    ) -> GenerativeRetriever:
        wanted = options.fields
        if wanted is None:
            wanted = tuple(
                name for name in catalog.columns if not (options.titles and name == catalog.name_field)
            )
        fields = searched_fields("seal", wanted, catalog)
        corpus = Corpus(catalog, fields, options.titles, reader)
        return cls(options, corpus, corpus.index(env.cache), reader, asked)

    def asked_anew(self) -> GenerativeRetriever:
        """The stage without what the model said before; for models that change."""
        anew = replace(self.asker, _trees=OrderedDict()) if self.asker else None
        return replace(self, asker=anew, _answers=OrderedDict())

    def with_options(self, options: SEAL) -> GenerativeRetriever:
        """The stage under other options of search and scoring; what the model said is not asked again."""
        return replace(self, options=options, _answers=OrderedDict())

    def with_edits(self, intervention: Intervention) -> GenerativeRetriever:
        """The stage over the edited catalog; only the edited items are indexed."""
        return self._with(self.corpus.edited(intervention), intervention)

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        return self.many([(context, inputs)])[0]

    def many(self, calls: Sequence[tuple[Context, tuple[Slate, ...]]]) -> list[Slate]:
        """Several calls; requests asked of the same corpus are generated for together."""
        slates: list[Slate] = []
        for (_, (slate,)), scores in zip(calls, self._scored(calls), strict=True):
            ranks, absent = self.corpus.bodies.id_ranks, ABSENT[self.options.scoring]
            source = source_of(slate)
            if source is None:
                rows = rows_of(slate, self.corpus.catalog)
                found = ranked(slate, scores[rows], ranks[rows], self.options.k)
                kept = tuple(listing for listing in found if listing.score != absent)
            else:
                chosen = best(scores, ranks, self.options.k)
                chosen = chosen[scores[chosen] != absent]
                ids = self.corpus.catalog.ids
                kept = tuple(source.listing(ids[row], float(scores[row])) for row in chosen)
            slates.append(Slate(kept))
        return slates

    def losses(self, probe: Probe, objective: Objective) -> tuple[np.ndarray, Usage]:
        """Objective over the scores of all listings of each variant: (len(slates),) float64."""
        if not probe.slates:
            return np.zeros(0), Usage()
        scores = self._scored([(probe.context, (slate,)) for slate in probe.slates])
        variants = [
            found[rows_of(slate, self.corpus.catalog)]
            for found, slate in zip(scores, probe.slates, strict=True)
        ]
        return objective_of(probe, variants, objective), Usage()

    def sought(self, calls: Sequence[tuple[Context, Slate]], target: Target) -> tuple[list[Sought], Usage]:
        """N-grams that are generated for each request, or would be if a listing held them, as text."""
        from testbed.protocols import Sought

        searched = (*self.corpus.bodies.fields, *(self.corpus.names.fields if self.corpus.names else ()))
        if target.field not in searched:
            return [Sought(())] * len(calls), Usage()
        found: dict[tuple[State, str], Sought] = {}
        keys = []
        for context, slate in calls:
            stage, query = self._at(slate), query_of(context.request)
            keys.append((stage.state, query))
            if keys[-1] not in found:
                found[keys[-1]] = stage._sought(query)
        return [found[key] for key in keys], Usage()

    def _sought(self, query: str) -> Sought:
        options = self.options
        own = queries.spelt(query, self.reader.encode_many) if options.query_ngrams else []
        wished = seeking.wished(self.index, self.asker, self._search, query, own, options.copying)
        known = self.answers([query])[0].keys
        return seeking.pieces(self.index, self.reader, known, wished, options.scoring, options.alpha)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text that stands in the middle of another."""
        return self.reader.encode_many([f" {disarmed(text, self.reader.specials)}"])[0] if text else []

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of tokens."""
        return self.reader.decode(token_ids)

    def answer(self, context: Context, slate: Slate) -> Answer:
        """The n-grams generated for a request, and the documents found with the reasons."""
        stage = self._at(slate)
        return stage.answers([query_of(context.request)])[0]

    def answers(self, asked: Sequence[str]) -> list[Answer]:
        """Answers to queries, on the corpus as it is here."""
        missing = [query for query in dict.fromkeys(asked) if (self.state, query) not in self._answers]
        for query, answer in zip(missing, self._answered(missing), strict=True):
            self._answers[self.state, query] = answer
        found = [self._answers[self.state, query] for query in asked]
        while len(self._answers) > ANSWERS:
            self._answers.popitem(last=False)
        return found

    def _scored(self, calls: Sequence[tuple[Context, tuple[Slate, ...]]]) -> list[np.ndarray]:
        """Scores of all documents for every call, (n,) each, rounded."""
        stages: dict[State, tuple[GenerativeRetriever, list[int]]] = {}
        for number, (_, (slate,)) in enumerate(calls):
            stage = self._at(slate)
            stages.setdefault(stage.state, (stage, []))[1].append(number)
        found: dict[int, np.ndarray] = {}
        for stage, numbers in stages.values():
            answers = stage.answers([query_of(calls[number][0].request) for number in numbers])
            for number, answer in zip(numbers, answers, strict=True):
                scores = np.full(len(self.corpus), ABSENT[self.options.scoring])
                scores[answer.found.rows] = answer.found.scores.round(DECIMALS)
                found[number] = scores
        return [found[number] for number in range(len(calls))]

    def _answered(self, asked: Sequence[str]) -> list[Answer]:
        options, index = self.options, self.index
        own = [
            queries.query_ngrams(index, query, self.reader.encode_many) if options.query_ngrams else []
            for query in asked
        ]
        if self.asker is None:
            pairs = [[(ngram, np.nan) for ngram in mine] for mine in own]
            singles = [queries.unprompted(index, ids) for ids in map(self.encode, asked)]
        else:
            pairs, singles = self._generated(self.asker, asked, own)
        scoring = Scoring(options.scoring, options.alpha, options.beta, options.rare, options.candidates)
        answers = []
        for found, alone in zip(pairs, singles, strict=True):
            ngrams = [ngram for ngram, _ in found]
            keys = Keys.of(ngrams, [value for _, value in found], index.counts(ngrams))
            alone = alone if options.singles else NO_SINGLES
            answers.append(Answer(keys, alone, scored(index, keys, alone, scoring)))
        return answers

    def _generated(
        self, asked: Asker, query: Sequence[str], own: Sequence[list[tuple[int, ...]]]
    ) -> tuple[list[list[tuple[tuple[int, ...], float]]], list[Singles]]:
        """N-grams with their log-probabilities, and weights of single tokens, for every query."""
        options, count = self.options, len(query)
        kinds = [False] * count + ([True] * count if options.titles else [])
        trees = asked.trees([(text, titles) for text, titles in zip([*query, *query], kinds, strict=False)])
        made = generate(asked.model, self.index, trees, kinds, asked.ends, self._search)
        values = queries.forced(asked.model, trees[:count], own)
        first = asked.model.log_probs([(tree, [0]) for tree in trees[:count]])
        pairs = []
        for number in range(count):
            titles = made[count + number] if options.titles else []
            mine = list(zip(own[number], copied(values[number], options.copying).tolist(), strict=True))
            pairs.append([*made[number], *titles, *mine])
        return pairs, [queries.singles(self.index, rows[0].numpy()) for rows in first]

    @property
    def _search(self) -> Search:
        options = self.options
        return Search(
            options.beams, options.length, groups=options.groups, diversity=options.diversity,
            constrained=options.constrained,
        )  # fmt: skip

    def _at(self, slate: Slate) -> GenerativeRetriever:
        """This stage with the texts of the slate in place."""
        source = source_of(slate)
        if source is None:
            return self._with(
                self.corpus.changed(rows_of(slate, self.corpus.catalog).tolist(), list(slate)), ()
            )
        same = source.intervention == self.intervention
        return self if same else self.with_edits(source.intervention)

    def _with(self, documents: Mapping[int, Document], intervention: Intervention) -> GenerativeRetriever:
        base = self.index.base if isinstance(self.index, EditedIndex) else self.index
        state = tuple(
            (row, tuple(title or ()), tuple(body)) for row, (title, body) in sorted(documents.items())
        )
        index = base.with_edits(dict(documents)) if documents else base
        return replace(self, index=index, state=state, intervention=intervention)

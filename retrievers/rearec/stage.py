"""The sequential stage: what a user with this history does next, by a trained model with latent reasoning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from retrievers.embeddings import embeddings_of
from retrievers.rearec.default import default_model
from retrievers.rearec.predict import halted, state_of
from retrievers.rearec.stored import Stored
from retrievers.shown import Documents, best, objective_of, ranked, rows_of, searched_fields, source_of
from testbed.errors import UserError
from testbed.types import Intervention, Slate, Usage

if TYPE_CHECKING:
    from retrievers.rearec.model import SequentialModel
    from retrievers.rearec.plugin import ReaRec
    from testbed.catalog import Catalog
    from testbed.environment import Environment
    from testbed.language.encoder import Encoder
    from testbed.protocols import Context, Objective, Probe

DECIMALS = 4
"""Scores are rounded to this many decimals, so that the last bits do not decide ties."""


@dataclass(frozen=True)
class SequentialRecommender:
    """Rank by the similarity of items to the user's state.

    `table`: (n, d) float32, a row an item of the catalog as its vendor wrote it.
    `known`: (n,) false for items that a model of ids has not seen: they are never listed, and left out of
    histories. `edited`: rows whose text is another. A request without a known history has no next item: the
    slate is handed on as it came, cut to k.
    """

    options: ReaRec
    stored: Stored
    documents: Documents
    model: SequentialModel
    encoder: Encoder | None
    table: Tensor
    known: np.ndarray
    intervention: Intervention = ()
    edited: Mapping[int, Tensor] = field(default_factory=dict)

    @classmethod
    @torch.no_grad()
    def over(cls, catalog: Catalog, options: ReaRec, env: Environment) -> SequentialRecommender:
        """Load a model for a catalog. UserError where a model of ids knows none of its items."""
        documents = Documents(catalog, searched_fields("rearec", options.fields, catalog))
        stored = Stored.of(options.model or default_model(documents, env))
        env.note(str(options.model or "rearec (default)"), stored.folder)
        if options.steps is not None and options.steps > stored.options.steps:
            raise UserError(
                f"stage rearec: steps: {stored.folder} was taught {stored.options.steps} steps, not {options.steps}"
            )
        if stored.options.items == "text":
            encoder = env.encoder(stored.encoder or "minilm")
            model = stored.model(torch.from_numpy(np.array(embeddings_of(documents, encoder, env.cache))))
            return cls(
                options, stored, documents, model, encoder, model.items.table(), np.ones(len(catalog), bool)
            )
        rows = {item: row for row, item in enumerate(stored.items)}
        places = np.array([rows.get(item, -1) for item in catalog.ids], dtype=np.int64)
        if not (places >= 0).any():
            raise UserError(
                f"stage rearec: {stored.folder} knows none of the items of catalog {catalog.name!r}; a model with "
                "items: text ranks any catalog"
            )
        reader, vectors = None, None
        if stored.options.items == "both":
            reader = env.encoder(stored.encoder or "minilm")
            mine = np.array(embeddings_of(documents, reader, env.cache))
            found = np.zeros((stored.count, mine.shape[1]), dtype=np.float32)
            found[places[places >= 0]] = mine[places >= 0]
            vectors = torch.from_numpy(found)
        model = stored.model(vectors)
        table = model.items.table()[torch.from_numpy(np.maximum(places, 0))]
        return cls(options, stored, documents, model, reader, table, places >= 0)

    def with_edits(self, intervention: Intervention) -> SequentialRecommender:
        """The stage over the edited catalog; only edited items are encoded, and none by a model of ids."""
        if self.encoder is None:
            return replace(self, intervention=intervention)
        return replace(
            self, intervention=intervention, edited=self._encoded(self.documents.edited(intervention))
        )

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        (slate,) = inputs
        history = self._history(context)
        source = source_of(slate)
        if not history:
            kept = (slate.listings[place] for place in range(min(self.options.k, len(slate))))
            return Slate(tuple(replace(listing, score=None) for listing in kept), note="no history")
        states, table = self.states(context, slate), self._table(context, slate)
        scores, ranks = self._open(context, self._read(states, table)), self.documents.id_ranks
        if source is None:
            rows = rows_of(slate, self.documents.catalog)
            found = ranked(slate, scores[rows], ranks[rows], self.options.k)
            listed = tuple(one for one in found if one.score != -np.inf)
        else:
            rows, ids = np.arange(len(scores)), self.documents.catalog.ids
            chosen = best(scores, ranks, self.options.k)
            listed = tuple(
                source.listing(ids[row], float(scores[row])) for row in chosen if scores[row] > -np.inf
            )
        return Slate(listed, detail=self._steps(context, states, table, rows))

    def losses(self, probe: Probe, objective: Objective) -> tuple[np.ndarray, Usage]:
        """Objective over the scores of all listings of each variant: (len(slates),) float64."""
        variants = [
            np.maximum(self.scores(probe.context, slate)[rows_of(slate, self.documents.catalog)], -1e4)
            for slate in probe.slates
        ]
        return objective_of(probe, variants, objective), Usage()

    def scores(self, context: Context, slate: Slate) -> np.ndarray:
        """Scores of all items of the catalog as the slate shows them: (n,) float64, rounded; −inf for unknown ones.

        Also for those of the history, where `repeats` is off.
        """
        return self._open(context, self._read(self.states(context, slate), self._table(context, slate)))

    def _open(self, context: Context, scores: np.ndarray) -> np.ndarray:
        """Scores without those of the history, where `repeats` is off."""
        if not self.options.repeats:
            scores[self._history(context)] = -np.inf
        return scores

    @torch.no_grad()
    def states(self, context: Context, slate: Slate) -> Tensor:
        """States r_0 … r_K of the request's user: (K + 1, d); zeros without a history."""
        return self._states(self._history(context), self._table(context, slate))

    def _states(self, history: list[int], table: Tensor) -> Tensor:
        history = history[-self.stored.options.length :]
        if not history:
            return torch.zeros(1, self.stored.options.width)
        seen = torch.tensor([history])
        ends = torch.tensor([[len(history) - 1]])
        return self.model.states(table, seen, ends, steps=self.options.steps)[:, 0, 0]

    def _state(self, states: Tensor, table: Tensor) -> Tensor:
        """The state that a prediction is read from."""
        if self.options.halt is not None:
            return halted(self.model, states[:, None], table, self.options.halt, self.stored.read)[0]
        return state_of(states, self.stored.read)

    @torch.no_grad()
    def _read(self, states: Tensor, table: Tensor) -> np.ndarray:
        return self._score(self._state(states, table), table)

    @torch.no_grad()
    def _score(self, state: Tensor, table: Tensor) -> np.ndarray:
        found = self.model.scores(state[None], table)[0].double().numpy().round(DECIMALS)
        return np.where(self.known, found, -np.inf)

    def _steps(self, context: Context, states: Tensor, table: Tensor, rows: np.ndarray) -> dict[str, object]:
        """What every reasoning step alone would say of the rows that were shown; empty for a model without steps."""
        if len(states) < 2:
            return {}
        mine = self.documents.catalog.rows.get(context.target_id or "")
        place = np.flatnonzero(rows == mine)
        steps = []
        for state in states:
            scores = self._open(context, self._score(state, table))[rows]
            shares = np.exp(scores - scores.max(initial=-np.inf)) if np.isfinite(scores).any() else scores * 0
            shares = shares / max(shares.sum(), 1e-300)
            step: dict[str, object] = {"entropy": round(float(-(shares * np.log(shares + 1e-300)).sum()), 6)}
            if len(place):
                own = scores[place[0]]
                step |= {"rank": int((scores > own).sum()) + 1, "share": round(float(shares[place[0]]), 6)}
            steps.append(step)
        return {"steps": steps}

    def _table(self, context: Context, slate: Slate) -> Tensor:
        """Items as the slate shows them."""
        if self.encoder is None:
            return self.table
        source = source_of(slate)
        if source is not None:
            same = source.intervention == self.intervention
            changed = (
                self.edited if same else self._known(context, self.documents.edited(source.intervention))
            )
        else:
            changed = self._known(
                context, self.documents.changed(rows_of(slate, self.documents.catalog).tolist(), list(slate))
            )
        if not changed:
            return self.table
        return self.table.index_copy(0, torch.tensor(list(changed)), torch.stack(list(changed.values())))

    def _known(self, context: Context, texts: Mapping[int, str]) -> dict[int, Tensor]:
        """As `_encoded`; each text once a trial, whatever the situation."""
        found = {}
        for row, text in texts.items():
            key = ("item vector", id(self.model), row, text)
            if key not in context.memo:
                context.memo[key] = self._encoded({row: text})[row]
            found[row] = context.memo[key]
        return found

    @torch.no_grad()
    def _encoded(self, texts: Mapping[int, str]) -> dict[int, Tensor]:
        """Row → item vector of changed texts, one at a time: padding would change the last bits."""
        assert self.encoder is not None
        found = {}
        for row, text in texts.items():
            vector = torch.from_numpy(self.encoder.encode([text]))
            found[row] = self.model.items.of(torch.tensor([self._own_row(row)]), vector)[0]
        return found

    def _own_row(self, row: int) -> int:
        """Row of a catalog's item in the model's own table."""
        if self.stored.options.items == "text":
            return row
        return self.stored.items.index(self.documents.catalog.ids[row]) if self.known[row] else 0

    def _history(self, context: Context) -> list[int]:
        rows = self.documents.catalog.rows
        found = [rows[item] for item in context.request.history if item in rows]
        return [row for row in found if self.known[row]]

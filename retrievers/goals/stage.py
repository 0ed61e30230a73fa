"""The planning stage: which listing, said next, leads from the dialogue to the user's goal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from retrievers.embeddings import embeddings_of
from retrievers.encoded import EncodedSurface
from retrievers.goals.loaded import loaded
from retrievers.goals.model import CurvedHeads
from retrievers.goals.offers import Offers
from retrievers.goals.planner import best as best_paths
from retrievers.goals.planner import graph_of
from retrievers.goals.scoring import Curvature
from retrievers.shown import (
    best,
    loss_at,
    objective_of,
    products,
    ranked,
    rows_of,
    searched_fields,
    source_of,
)
from testbed.protocols import TokenGradient
from testbed.types import Intervention, Slate, Target, Usage

if TYPE_CHECKING:
    from retrievers.goals.plugin import Goals
    from testbed.catalog import Catalog
    from testbed.environment import Environment
    from testbed.language.encoder import Encoder
    from testbed.protocols import Context, Objective, Probe

DECIMALS = 5
"""Scores are rounded to this many decimals, so that the last bits do not decide ties."""
GOAL = "the goal"


@dataclass(frozen=True)
class GoalPlanner:
    """Rank by reachability of the goal. `vectors`: (n, width) of the offers as vendors wrote them.

    `edited`: rows whose text is another, their vectors.
    """

    options: Goals
    documents: Offers
    encoder: Encoder
    heads: CurvedHeads
    vectors: np.ndarray
    clean: Curvature
    intervention: Intervention = ()
    edited: Mapping[int, np.ndarray] = field(default_factory=dict)

    @classmethod
    def over(cls, catalog: Catalog, options: Goals, env: Environment) -> GoalPlanner:
        """Load heads for a catalog. UserError where they belong to another encoder."""
        documents = Offers(catalog, searched_fields("goals", options.fields, catalog))
        encoder, heads = loaded(options.model, options.heads, documents, env)
        vectors = embeddings_of(documents, encoder, env.cache)
        return cls(options, documents, encoder, heads, vectors, Curvature.of(vectors, heads))

    def with_edits(self, intervention: Intervention) -> GoalPlanner:
        """The stage over the edited catalog; only the edited items are read."""
        edited = self._encoded(self.documents.edited(intervention))
        return replace(self, intervention=intervention, edited=edited)

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        (slate,) = inputs
        source, ranks = source_of(slate), self.documents.id_ranks
        scores = self.scores(context, slate)
        if source is None:
            found = ranked(slate, scores, ranks[rows_of(slate, self.documents.catalog)], self.options.k)
        else:
            chosen, ids = best(scores, ranks, self.options.k), self.documents.catalog.ids
            found = Slate(tuple(source.listing(ids[row], float(scores[row])) for row in chosen))
        note = "" if context.request.goal else "no goal"
        return replace(found, note=note, detail=self._plans(context, found))

    def losses(self, probe: Probe, objective: Objective) -> tuple[np.ndarray, Usage]:
        """Objective over the scores of all listings of each variant: (len(slates),) float64."""
        variants = [self.scores(probe.context, slate) for slate in probe.slates]
        return objective_of(probe, variants, objective), Usage()

    def gradient(
        self, context: Context, slate: Slate, target: Target, objective: Objective
    ) -> tuple[TokenGradient, Usage]:
        """Gradient through heads and encoder with respect to the tokens of the target's edit. ValueError without."""
        rank = slate.rank_of(target.item_id)
        if rank is None:
            raise ValueError("the target is not in the slate")
        source, others = source_of(slate), torch.from_numpy(self.scores(context, slate))
        listing = source.listing(target.item_id) if source else slate.listings[rank - 1]
        follows, goal = self._aims(context)

        def loss(vector: Tensor) -> Tensor:
            own = self.heads.after(vector) @ torch.from_numpy(follows).float()
            if goal is not None:
                leads = self.heads.before(vector, even=self.options.ahead % 2 == 0)
                own = own + leads @ torch.from_numpy(goal).float()
            return loss_at(own, rank - 1, others, objective)

        return self.surface(target).gradient(listing, loss), Usage(gradient_calls=1)

    def surface(self, target: Target) -> EncodedSurface:
        """How text in the target's field is tokenised by the encoder."""
        return EncodedSurface(self.encoder, self.documents, target)

    def scores(self, context: Context, slate: Slate) -> np.ndarray:
        """Scores of a slate's listings in its order, (len(slate),) float64, rounded."""
        return self._scored(context, self._shown(context, slate))

    def _scored(self, context: Context, shown: Curvature) -> np.ndarray:
        follows, goal = self._aims(context)
        found = products(shown.after, follows)
        if goal is not None:
            found = found + products(shown.before(self.options.ahead), goal)
        return np.asarray(found.round(DECIMALS))

    def _aims(self, context: Context) -> tuple[np.ndarray, np.ndarray | None]:
        """What an offer's A is compared with, (width,), weights included; and what its B is: A(goal), or None."""
        said, goal = self._talk(context)
        count = len(said)
        distances = np.arange(count, 0, -1)
        before = np.where((distances % 2 == 1)[:, None], said.odd, said.even)
        follows = before.sum(0, dtype=np.float64) * (self.options.follows / max(1, count))
        return follows, goal.after[0].astype(np.float64) if context.request.goal.strip() else None

    def _talk(self, context: Context) -> tuple[Curvature, Curvature]:
        """The turns so far, the request the newest, and the goal; read once a trial."""
        request = context.request
        said = [turn for turn in (*request.dialogue, request.text) if turn.strip()]
        key = ("talk", id(self.heads), tuple(said), request.goal)
        if key not in context.memo:
            found = Curvature.of(self.encoder.encode([*said, request.goal]), self.heads)
            last = np.array([len(said)])
            context.memo[key] = (found.only(np.arange(len(said))), found.only(last))
        talk: tuple[Curvature, Curvature] = context.memo[key]
        return talk

    def _shown(self, context: Context, slate: Slate) -> Curvature:
        """The offers of a slate in its order."""
        source = source_of(slate)
        rows = rows_of(slate, self.documents.catalog)
        if source is None:
            changed = self._known(context, self.documents.changed(rows.tolist(), list(slate)))
        elif source.intervention == self.intervention:
            changed = dict(self.edited)
        else:
            changed = self._known(context, self.documents.edited(source.intervention))
        shown = self.clean.only(rows)
        if not changed:
            return shown
        views = Curvature.of(np.stack(list(changed.values())), self.heads)
        places = {int(row): place for place, row in enumerate(rows)}
        at = np.array([places[row] for row in changed])
        for known, new in zip(shown.views, views.views, strict=True):
            known[at] = new
        return shown

    def _plans(self, context: Context, found: Slate) -> dict[str, Any]:
        """The best listings' shortest paths to the goal, of at most `ahead` steps through what was kept."""
        goal = context.request.goal
        if not (self.options.plans and goal.strip() and len(found)):
            return {}
        offers = self._shown(context, found)
        views = (
            np.concatenate(pair) for pair in zip(offers.views, self._talk(context)[1].views, strict=True)
        )
        ids = [listing.item_id for listing in found]
        graph = graph_of([*ids, (GOAL,)], Curvature(*views))
        plans = []
        for item_id in ids[: self.options.plans]:
            (plan, *_) = best_paths(graph, item_id, (GOAL,), 1, self.options.ahead)
            plans.append({"path": [*plan.path[:-1], GOAL], "length": round(plan.length, DECIMALS)})
        return {"plans": plans}

    def _known(self, context: Context, texts: Mapping[int, str]) -> dict[int, np.ndarray]:
        """Vectors of changed offers; each text once a trial, whatever the situation."""
        found = {}
        for row, text in texts.items():
            key = ("offer", self.encoder.fingerprint, text)
            if key not in context.memo:
                context.memo[key] = self.encoder.encode([text])[0]
            found[row] = context.memo[key]
        return found

    def _encoded(self, texts: Mapping[int, str]) -> dict[int, np.ndarray]:
        # one at a time: padding with other texts would change the last bits
        return {row: self.encoder.encode([text])[0] for row, text in texts.items()}

"""Gradients through a sequential model that reads texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from retrievers.encoded import EncodedSurface
from retrievers.rearec.stage import SequentialRecommender
from retrievers.shown import rows_of, source_of
from testbed.protocols import Scores, TokenGradient
from testbed.types import Slate, Target, Usage

if TYPE_CHECKING:
    from testbed.protocols import Context, Objective


class TextRecommender(SequentialRecommender):
    """A recommender whose items are known by their text, so that a text has a gradient; one of ids has none."""

    def gradient(
        self, context: Context, slate: Slate, target: Target, objective: Objective
    ) -> tuple[TokenGradient, Usage]:
        """Gradient through encoder and model with respect to the tokens of the target's edit. ValueError without one.

        Where the target is in the history, through the user's states too.
        """
        rank = slate.rank_of(target.item_id)
        if rank is None:
            raise ValueError("the target is not in the slate")
        source, shown = source_of(slate), torch.from_numpy(rows_of(slate, self.documents.catalog))
        listing = source.listing(target.item_id) if source else slate.listings[rank - 1]
        table, row = self._table(context, slate), self.documents.catalog.rows[target.item_id]
        history = self._history(context)

        def loss(vector: Tensor) -> Tensor:
            item = self.model.items.of(torch.tensor([self._own_row(row)]), vector[None])
            now = table.index_copy(0, torch.tensor([row]), item)
            states = self._states(history, now)
            total = self.model.scores(self._state(states, now)[None], now)[0].double()
            barred = torch.from_numpy(~self.known)
            if not self.options.repeats:
                barred[history] = True
            total = total.masked_fill(barred, -1e4)[shown][None]
            column = rank - 1
            if not objective.rivals:
                total, column = total[:, column : column + 1], 0
            return objective(Scores(total, torch.ones(total.shape[1]), column)).sum()

        return self.surface(target).gradient(listing, loss), Usage(gradient_calls=1)

    def surface(self, target: Target) -> EncodedSurface:
        """How text in the target's field is tokenised."""
        assert self.encoder is not None
        return EncodedSurface(self.encoder, self.documents, target)

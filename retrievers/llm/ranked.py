"""From what a reader replied to the slate that a stage returns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from testbed.types import Slate

if TYPE_CHECKING:
    from retrievers.llm.readings import Reply


LONGEST = 2000
"""Characters of an answer that are kept in the trace."""


def ranked(shown: Slate, reply: Reply | None) -> Slate:
    """The ranking of a presented slate; without a reply there was nothing to rank."""
    order = tuple(listing.item_id for listing in shown)
    if reply is None:
        return Slate((), note="nothing to rank", shown=order)
    scores = reply.scores or (None,) * len(reply.ranking)
    listings = tuple(
        replace(shown.listings[index], score=score)
        for index, score in zip(reply.ranking, scores, strict=True)
    )
    detail = {"reply": reply.text[:LONGEST]} if reply.text else {}
    return Slate(listings, reply.status, reply.usage, reply.note, order, detail)

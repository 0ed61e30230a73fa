"""The agent as a stage: one pass over the results decides what is opened, one over what was opened what is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from retrievers.agent.conversation import Conversation
from retrievers.llm.likelihood import read
from retrievers.llm.readings import Reply
from testbed.protocols import Context
from testbed.types import Listing, Slate

if TYPE_CHECKING:
    from retrievers.agent.plugin import ShoppingAgent
    from testbed.catalog import Catalog
    from testbed.language import LanguageModel

Call = tuple[Context, tuple[Slate, ...]]


class Agent:
    """A language model that opens `reads` listings and chooses among them.

    Both moves are forced choices among names, by log p(name and the line's end | conversation), so that a model of any
    size can act and no listing can end the loop. The ranking: opened listings by the score of the final choice,
    which is their score; then the others by the score of being opened, without a score, because the two
    are not comparable.
    """

    def __init__(self, options: ShoppingAgent, catalog: Catalog, model: LanguageModel) -> None:
        self.options, self.model = options, model
        self.conversation = Conversation(options, catalog, model)

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        return self.many([(context, inputs)])[0]

    def many(self, calls: Sequence[Call]) -> list[Slate]:
        """Rankings for many calls, in two rounds of prompts that share what they have in common."""
        results = self.conversation.results.many(calls)
        asked = [index for index, found in enumerate(results) if len(found)]
        shown = {index: _as_given(results[index], calls[index][1][0]) for index in asked}
        opened = {index: shown[index][: self.options.reads] for index in asked}
        prompts = self.conversation.last_prompts(
            [calls[index][0] for index in asked],
            [calls[index][1][0] for index in asked],
            [opened[index] for index in asked],
        )
        replies = dict(zip(asked, read(self.model, prompts), strict=True)) if asked else {}
        return [
            _ranked(found, shown[index], opened[index], replies[index]) if index in replies else found
            for index, found in enumerate(results)
        ]

    def price(self, context: Context, slate: Slate) -> int:
        """Most logical tokens of one call."""
        return self.conversation.price(context, slate)

    @property
    def pieces(self) -> Sequence[str]:
        """Text of every token of the vocabulary; '' for special ones."""
        return self.model.pieces

    def encode(self, text: str) -> list[int]:
        """Tokens of a text on its own."""
        return self.model.encode(text)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of tokens."""
        return self.model.decode(token_ids)


def _as_given(ranked: Slate, given: Slate) -> list[Listing]:
    """The listings as they came in, in the order in which the agent would open them."""
    listings = {listing.item_id: listing for listing in given}
    return [listings[item_id] for item_id in ranked.ids]


def _ranked(results: Slate, shown: Sequence[Listing], opened: Sequence[Listing], reply: Reply) -> Slate:
    chosen = [
        replace(opened[index], score=score)
        for index, score in zip(reply.ranking, reply.scores or (), strict=True)
    ]
    others = [replace(listing, score=None) for listing in shown[len(opened) :]]
    note = f"opened {', '.join(listing.item_id for listing in opened)}; chose {chosen[0].item_id}"
    return Slate((*chosen, *others), "ok", results.usage + reply.usage, note, results.shown)

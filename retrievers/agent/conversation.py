"""What the agent and its tools say to each other, as prompts: the results, what it opened, the final question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from retrievers.llm.plugin import LanguageModelRecommender
from retrievers.llm.prompt import Messages, Renderer, list_messages
from retrievers.llm.readings import Prompt
from retrievers.llm.stage import Recommender
from testbed.language.chat import as_text
from testbed.protocols import Context
from testbed.types import Listing, Slate

if TYPE_CHECKING:
    from retrievers.agent.plugin import ShoppingAgent
    from testbed.catalog import Catalog
    from testbed.language import LanguageModel

SLACK = 8
"""Tokens by which a text may be longer in its place than alone, for the price; more than was ever seen."""


class Conversation:
    """Two turns: `results` (a recommender over one line a listing) answers the first, `last_prompts` ask the second.

    The first answer is written out as the names of what is opened, and the second message holds those listings.
    """

    def __init__(self, options: ShoppingAgent, catalog: Catalog, model: LanguageModel) -> None:
        self.options, self.catalog, self.model = options, catalog, model
        self.results = Recommender(_first_turn(options), catalog, model)
        self._last = Recommender(
            LanguageModelRecommender(model=options.model, opening=options.choice), catalog, model
        )
        self.renderer = Renderer(options.template, options.field_limit, self.results.renderer.specials)

    def last_prompts(
        self, contexts: Sequence[Context], slates: Sequence[Slate], opened: Sequence[Sequence[Listing]]
    ) -> list[Prompt]:
        """Per call the whole conversation up to the final choice, with the opened listings as what may be named."""
        shown = [
            self.results.present(context, slate) for context, slate in zip(contexts, slates, strict=True)
        ]
        prompts = self._prompts(contexts, shown, opened)
        if not self.results.options.subtracts:
            return prompts
        others = self._prompts([self.results.neutral(context) for context in contexts], shown, opened)
        return [replace(prompt, neutral=other) for prompt, other in zip(prompts, others, strict=True)]

    def _prompts(
        self, contexts: Sequence[Context], shown: Sequence[Slate], opened: Sequence[Sequence[Listing]]
    ) -> list[Prompt]:
        texts = [self._text(*parts) for parts in zip(contexts, shown, opened, strict=True)]
        ids = self.model.encode_many(texts)
        names = [tuple(self.results.name(listing.item_id) for listing in listings) for listings in opened]
        known = self._last.answers(sorted({name for group in names for name in group}))
        return [
            Prompt(tuple(ids[i]), names[i], tuple(known[name] for name in names[i]), seed=contexts[i].seed)
            for i in range(len(texts))
        ]

    def _text(self, context: Context, shown: Slate, opened: Sequence[Listing]) -> str:
        messages = self.messages(context, shown, opened)
        return as_text(self.model.tokenizer, messages, self.options.choice)

    def messages(self, context: Context, results: Slate, opened: Sequence[Listing]) -> Messages:
        """Both turns. Listings stand in the order in which they were opened."""
        lines = self.results.renderer.listings(results.listings, self.catalog.name_field)
        request = self.results.request(context)
        listings = self.renderer.listings(opened, self.catalog.name_field)
        return [
            *list_messages(
                self.options.system, lines, self.results.wish(context), self.options.request_template
            ),
            {"role": "assistant", "content": self._opened([one.item_id for one in opened])},
            {"role": "user", "content": _filled(self.options.reading, listings=listings, request=request)},
        ]

    def price(self, context: Context, slate: Slate) -> int:
        """Most logical tokens of both turns, whatever is opened: the longest listings and names that there are."""
        if not len(slate):
            return 0
        shown = self.results.present(context, slate)
        count = min(self.options.reads, len(slate))
        names = [self.results.name(item_id) for item_id in shown.ids]
        whole = [f"\n\n{self.renderer.listing(one.fields, self.catalog.name_field)}" for one in shown]
        read = _most(map(len, self.model.encode_many(whole)), count)
        read += _most(map(len, self.model.encode_many([f" {name}\n00." for name in names])), count)
        read += count * max(map(len, self._last.answers(sorted(set(names))).values()))
        asked = [context, *([self.results.neutral(context)] if self.results.options.subtracts else [])]
        frames = [len(self.model.encode(self._text(one, shown, ()))) for one in asked]
        return (
            self.results.price(context, slate) + sum(frames) + len(asked) * (read + SLACK * (2 * count + 1))
        )

    def _opened(self, item_ids: Sequence[str]) -> str:
        """The first answer as text: numbered where the opening begins a numbered list."""
        opening = self.options.opening
        space = "" if not opening or opening[-1].isspace() else " "
        names = [self.results.name(item_id) for item_id in item_ids]
        if opening.rstrip().endswith("1."):
            numbered = [f"{number}. {name}" for number, name in enumerate(names[1:], start=2)]
            return opening + space + "\n".join([*names[:1], *numbered])
        return opening + space + "\n".join(names)


def _first_turn(options: ShoppingAgent) -> LanguageModelRecommender:
    """The look at the results: a listwise recommender that is shown a line of each listing."""
    return LanguageModelRecommender(
        model=options.model,
        reading="likelihood",
        template="prose",
        order=options.order,
        system=options.system,
        opening=options.opening,
        request_template=options.request_template,
        field_limit=options.result_limit,
        prior=options.prior,
        neutral_request=options.neutral_request,
    )


def _filled(template: str, *, listings: str, request: str) -> str:
    """The template with both put in; what a listing says in braces is left alone."""
    before, _, after = template.partition("{listings}")
    return before.replace("{request}", request) + listings + after.replace("{request}", request)


def _most(lengths: Iterable[int], count: int) -> int:
    return sum(sorted(lengths, reverse=True)[:count])

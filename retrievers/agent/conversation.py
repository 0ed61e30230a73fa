"""What the agent and its tools say to each other, as prompts: the results, what it opened, the final question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    """Two turns: `results` (a recommender over one line a listing) answers the first, `last_prompt` asks the second.

    The first answer is written out as the names of what is opened, and the second message holds those listings.
    """

    def __init__(self, options: ShoppingAgent, catalog: Catalog, model: LanguageModel) -> None:
        self.options, self.catalog, self.model = options, catalog, model
        self.results = Recommender(_first_turn(options), catalog, model)
        self._last = Recommender(
            LanguageModelRecommender(model=options.model, opening=options.choice), catalog, model
        )
        self.renderer = Renderer(options.template, options.field_limit, self.results.renderer.specials)

    def last_prompt(self, context: Context, slate: Slate, opened: Sequence[Listing]) -> Prompt:
        """The whole conversation up to the final choice, with the opened listings as what may be named."""
        results = self.results.present(context, slate)
        text = as_text(self.model.tokenizer, self.messages(context, results, opened), self.options.choice)
        names = tuple(self.results.name(listing.item_id) for listing in opened)
        known = self._last.answers(sorted(set(names)))
        ids = tuple(self.model.encode(text))
        return Prompt(ids, names, tuple(known[name] for name in names), seed=context.seed)

    def messages(self, context: Context, results: Slate, opened: Sequence[Listing]) -> Messages:
        """Both turns. Listings stand in the order in which they were opened."""
        lines = self.results.renderer.listings(results.listings, self.catalog.name_field)
        request = self.results.request(context)
        listings = self.renderer.listings(opened, self.catalog.name_field)
        return [
            *list_messages(self.options.system, lines, request),
            {"role": "assistant", "content": self._opened([one.item_id for one in opened])},
            {"role": "user", "content": _filled(self.options.reading, listings=listings, request=request)},
        ]

    def price(self, context: Context, slate: Slate) -> int:
        """Most logical tokens of both turns, whatever is opened: the longest listings and names that there are."""
        if not len(slate):
            return 0
        results = self.results.present(context, slate)
        count = min(self.options.reads, len(slate))
        names = [self.results.name(item_id) for item_id in results.ids]
        frame = as_text(self.model.tokenizer, self.messages(context, results, ()), self.options.choice)
        whole = [f"\n\n{self.renderer.listing(one.fields, self.catalog.name_field)}" for one in results]
        answers = list(map(len, self._last.answers(sorted(set(names))).values()))
        return (
            self.results.price(context, slate)
            + len(self.model.encode(frame))
            + _most(map(len, self.model.encode_many(whole)), count)
            + _most(map(len, self.model.encode_many([f" {name}\n00." for name in names])), count)
            + count * max(answers)
            + SLACK * (2 * count + 1)
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
    )


def _filled(template: str, *, listings: str, request: str) -> str:
    """The template with both put in; what a listing says in braces is left alone."""
    before, _, after = template.partition("{listings}")
    return before.replace("{request}", request) + listings + after.replace("{request}", request)


def _most(lengths: Iterable[int], count: int) -> int:
    return sum(sorted(lengths, reverse=True)[:count])

"""The recommender stage: renders a slate, asks the model, returns the ranking; scores and gradients for attackers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from retrievers.llm.attackable import Attackable
from retrievers.llm.constrained import ConstrainedReading
from retrievers.llm.generate import GenerateReading
from retrievers.llm.likelihood import read as read_likelihood
from retrievers.llm.pointwise import read as read_pointwise
from retrievers.llm.prior import neutral
from retrievers.llm.prompt import Renderer, list_messages, pointwise_messages
from retrievers.llm.proposals import Proposals
from retrievers.llm.ranked import ranked
from retrievers.llm.readings import Prompt, Reading
from retrievers.llm.splicing import token_ids
from testbed.language.chat import as_text
from testbed.protocols import Context, Continuation, Objective, Probe, Sampling, Surface, TokenGradient
from testbed.types import Slate, Target, Usage

if TYPE_CHECKING:
    from retrievers.llm.plugin import LanguageModelRecommender
    from testbed.catalog import Catalog
    from testbed.language import LanguageModel


class Recommender:
    """A language model as the last stage of a stack."""

    def __init__(self, options: LanguageModelRecommender, catalog: Catalog, model: LanguageModel) -> None:
        self.options, self.catalog, self.model = options, catalog, model
        self.renderer = Renderer(options.template, options.field_limit, model.specials)
        self.reading = _reading(options)
        self.attackable = Attackable(self)
        self.proposals = Proposals(self)

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        return self.many([(context, inputs)])[0]

    def many(self, calls: Sequence[tuple[Context, tuple[Slate, ...]]]) -> list[Slate]:
        """Rankings for many calls; prompts share what they have in common."""
        shown = [self.present(context, inputs[0]) for context, inputs in calls]
        asked = [index for index, slate in enumerate(shown) if len(slate)]
        contexts, slates = [calls[index][0] for index in asked], [shown[index] for index in asked]
        prompts = [
            replace(prompt, neutral=neutral)
            for prompt, neutral in zip(
                self.prompts(contexts, slates), self.neutral_prompts(contexts, slates), strict=True
            )
        ]
        replies = dict(zip(asked, self.reading(self.model, prompts), strict=True)) if asked else {}
        return [ranked(slate, replies.get(index)) for index, slate in enumerate(shown)]

    def present(self, context: Context, slate: Slate) -> Slate:
        """The slate in the order in which the model sees it."""
        return context.arrange(slate) if self.options.order == "shuffled" else slate

    def prompts(self, contexts: Sequence[Context], slates: Sequence[Slate]) -> list[Prompt]:
        """What is asked for each presented slate."""
        pointwise = self.options.reading == "pointwise"
        names = [tuple(self.name(listing.item_id) for listing in slate) for slate in slates]
        ids: list[tuple[int, ...]] = [()] * len(slates)
        if not pointwise and all(context is contexts[0] for context in contexts[1:]):
            ids = token_ids(self, contexts[0], slates) if slates else []
        elif not pointwise:
            texts = [self.text(context, slate) for context, slate in zip(contexts, slates, strict=True)]
            ids = [tuple(found) for found in self.model.encode_many(texts)]
        known = self.answers(sorted({name for group in names for name in group}))
        parts = [
            self._parts(context, slate) if pointwise else ()
            for context, slate in zip(contexts, slates, strict=True)
        ]
        return [
            Prompt(ids[i], names[i], tuple(known[name] for name in names[i]), parts[i], contexts[i].seed)
            for i in range(len(slates))
        ]

    def neutral_prompts(self, contexts: Sequence[Context], slates: Sequence[Slate]) -> list[Prompt | None]:
        """The neutral question about each presented slate; None where no prior is subtracted."""
        if not self.options.subtracts:
            return [None] * len(slates)
        made = {id(context): self.neutral(context) for context in contexts}
        return [*self.prompts([made[id(context)] for context in contexts], slates)]

    def neutral(self, context: Context) -> Context:
        """The same situation under the neutral request."""
        return neutral(context, self.options.neutral_request)

    def text(self, context: Context, slate: Slate) -> str:
        """The whole listwise prompt as text."""
        products = self.renderer.listings(slate.listings, self.catalog.name_field)
        return as_text(
            self.model.tokenizer,
            list_messages(self.options.system, products, self.wish(context), self.options.request_template),
            self.options.opening,
        )

    def request(self, context: Context) -> str:
        """The user's message where no products stand in it."""
        template = self.options.request_template
        return (
            self.wish(context)
            if "{products}" in template
            else template.replace("{request}", self.wish(context))
        )

    def wish(self, context: Context) -> str:
        """What the user wants, as it stands in the prompt."""
        return self.renderer.disarmed(context.request.text)

    def name(self, item_id: str) -> str:
        """The name by which the model has to call an item: the catalog's, whatever the listing says."""
        return self.renderer.clean(self.catalog.name_of(item_id))

    def answers(self, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Tokens that name each product and end its line.

        The line's end keeps "QuickBrew" from beating "QuickBrew Express" by being shorter.
        """
        space = "" if not self.options.opening or self.options.opening[-1].isspace() else " "
        found = self.model.continuations(self.options.opening, [f"{space}{name}\n" for name in names])
        return dict(zip(names, found, strict=True))

    def _parts(self, context: Context, slate: Slate) -> tuple[tuple[int, ...], ...]:
        texts = [
            as_text(
                self.model.tokenizer,
                pointwise_messages(
                    self.options.system,
                    self.renderer.listing(listing.fields, self.catalog.name_field),
                    self.wish(context),
                    self.options.request_template,
                ),
            )
            for listing in slate
        ]
        return tuple(tuple(ids) for ids in self.model.encode_many(texts))

    def price(self, context: Context, slate: Slate) -> int:
        """Most logical tokens of one call, be it a ranking, a score or a gradient."""
        if not len(slate):
            return 0
        shown = [self.present(context, slate)]
        return sum(
            self._price(prompt)
            for prompt in (*self.prompts([context], shown), *self.neutral_prompts([context], shown))
            if prompt is not None
        )

    def _price(self, prompt: Prompt) -> int:
        answer = sum(map(len, prompt.answers))
        match self.options.reading:
            case "pointwise":
                words = sum(map(len, self.attackable.words))
                return sum(len(part) + words for part in prompt.parts)
            case "generate":
                return len(prompt.token_ids) + max(answer, self.options.max_new_tokens)
            case "constrained":
                return len(prompt.token_ids) + answer + 4 * len(prompt.names)
            case _:
                return len(prompt.token_ids) + answer

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

    def losses(self, probe: Probe, objective: Objective) -> tuple[np.ndarray, Usage]:
        """Objective of each variant, computed exactly; (len(probe.slates),), inf where the target is missing."""
        (found,), usage = self.attackable.losses([probe], objective)
        return found, usage

    def losses_of(self, probes: Sequence[Probe], objective: Objective) -> tuple[list[np.ndarray], Usage]:
        """`losses` of several probes, in as few passes as possible."""
        return self.attackable.losses(probes, objective)

    def screen(
        self, probes: Sequence[Probe], bases: Sequence[Slate], objective: Objective, recompute: int | None
    ) -> tuple[list[np.ndarray], Usage]:
        """Objective of variants close to a base, cheaply, from what the base left in the cache."""
        return self.attackable.screen(probes, bases, objective, recompute)

    def gradient(
        self, context: Context, slate: Slate, target: Target, objective: Objective
    ) -> tuple[TokenGradient, Usage]:
        """Gradient of the objective with respect to the one-hot tokens of the edit in `slate`."""
        return self.attackable.gradient(context, slate, target, objective)

    def surface(self, target: Target) -> Surface:
        """How text written into the target's field is tokenised."""
        return self.attackable.surface(target)

    def continuations(
        self, probe: Probe, target: Target, count: int, seed: int, sampling: Sampling
    ) -> tuple[list[list[Continuation]], Usage]:
        """Texts that grow each slate's edit by one token of the model's own."""
        return self.proposals.continuations(probe, target, count, seed, sampling)


def _reading(options: LanguageModelRecommender) -> Reading:
    match options.reading:
        case "constrained":
            return ConstrainedReading(options.temperature)
        case "generate":
            return GenerateReading(options.temperature, options.max_new_tokens)
        case "pointwise":
            return read_pointwise
        case _:
            return read_likelihood

"""Training examples: one page of listings, many requests, written exactly as the recommender stage writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from retrievers.llm.plugin import SYSTEM, LanguageModelRecommender
from retrievers.llm.prompt import Renderer, list_messages
from retrievers.llm.tuning.products import Shop, one
from retrievers.llm.tuning.wishes import Wish
from testbed.language import common_prefix
from testbed.language.chat import as_text

if TYPE_CHECKING:
    from testbed.language import LanguageModel

OPENING = str(LanguageModelRecommender.model_fields["opening"].default)
SYSTEMS = (
    "You are a helpful assistant that recommends products.",
    "Rank the listed products for the user. Answer with a numbered list.",
    "You are a shopping assistant.",
)
OPENINGS = ("1.", "I recommend:\n1.", "Here is my ranking:\n1.", "Sure! These fit best:\n1.")
SHARPNESS = 8.0
"""Utility 1 is wished e^8 times as often as utility 0."""
FINISHED = 4
"""One request in so many has its whole answer in the loss, the others its first token: copying is quickly learnt."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A request on a page: the prompt's tokens after the trunk, a sampled answer, and what should be said first.

    `first`: wished probability of each first answer token. `answer`: a name and the line's end, drawn by utility,
    or only its first token.
    """

    tokens: tuple[int, ...]
    answer: tuple[int, ...]
    first: dict[int, float]


@dataclass(frozen=True, slots=True)
class Example:
    """One page. `trunk`: what the prompts of all requests begin with."""

    trunk: tuple[int, ...]
    branches: tuple[Branch, ...]

    @property
    def size(self) -> int:
        """Tokens that go through the model."""
        return len(self.trunk) + sum(len(b.tokens) + len(b.answer) - 1 for b in self.branches)


@dataclass(frozen=True, slots=True)
class Format:
    """How a page is put to the model."""

    template: str = "lines"
    system: str = SYSTEM
    opening: str = OPENING

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Format:
        """Mostly the stage's defaults."""
        template = str(rng.choice(["lines", "json", "prose"], p=[0.6, 0.2, 0.2]))
        system = SYSTEM if rng.random() < 0.7 else one(SYSTEMS, rng)
        return cls(template, system, OPENING if rng.random() < 0.7 else one(OPENINGS, rng))


def example(
    model: LanguageModel, page: Shop, asked: list[Wish], how: Format, rng: np.random.Generator
) -> Example:
    """The page and its requests as tokens."""
    renderer = Renderer(how.template, None, ())
    gap = "\n\n" if how.template == "lines" else "\n"
    products = gap.join(renderer.listing(product.fields, page.name_field) for product in page.products)
    texts = [
        as_text(model.tokenizer, list_messages(how.system, products, wish.text), how.opening)
        for wish in asked
    ]
    prompts = model.encode_many(texts)
    answers = model.continuations(how.opening, [f" {product.name}\n" for product in page.products])
    shared = min((common_prefix(prompts[0], other) for other in prompts[1:]), default=len(prompts[0]) - 1)
    shared = min(shared, *(len(prompt) - 1 for prompt in prompts))
    branches: list[Branch] = []
    for prompt, request in zip(prompts, asked, strict=True):
        wanted = np.exp(SHARPNESS * (request.utility - 1))
        wanted /= wanted.sum()
        first: dict[int, float] = {}
        for answer, share in zip(answers, wanted, strict=True):
            first[answer[0]] = first.get(answer[0], 0.0) + float(share)
        drawn = answers[int(rng.choice(len(answers), p=wanted))]
        whole = len(branches) % FINISHED == 0
        branches.append(Branch(tuple(prompt[shared:]), drawn if whole else drawn[:1], first))
    return Example(tuple(prompts[0][:shared]), tuple(branches))

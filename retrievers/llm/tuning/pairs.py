"""Teaching the pointwise reading: a request with the listings of a page, each judged alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from retrievers.llm.pointwise import WORDS
from retrievers.llm.prompt import Renderer, pointwise_messages
from retrievers.llm.tuning.examples import SHARPNESS, Format
from retrievers.llm.tuning.products import Shop, one, shop
from retrievers.llm.tuning.wishes import Wish, wish
from retrievers.llm.tuning.world import World, world
from testbed.language import common_prefix
from testbed.language.batch import Batch
from testbed.language.chat import as_text
from testbed.language.layout import Block
from testbed.language.rows import Prefix, Row
from testbed.tuning import Taught

if TYPE_CHECKING:
    from retrievers.llm.tuning.options import RecommenderTrainer
    from testbed.language import LanguageModel

COUNTS = (4, 6, 7, 8)
"""Listings on a page. Each is judged alone, so that a longer list teaches nothing else."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A request with n listings. `trunk`: what all prompts begin with; `branches`: how each goes on.

    `wanted`: (n,) the share that each listing should have of the softmax of all margins.
    """

    trunk: tuple[int, ...]
    branches: tuple[tuple[int, ...], ...]
    wanted: np.ndarray

    @property
    def size(self) -> int:
        """Tokens that go through the model."""
        return len(self.trunk) + sum(map(len, self.branches))


class Lists:
    """What a recommender is taught for the pointwise reading: requests with the listings of a made-up page."""

    def __init__(self, model: LanguageModel, options: RecommenderTrainer) -> None:
        self.model, self.options, self.world = model, options, world()
        self.units = options.lists
        yes, no = (model.encode(word)[0] for word in WORDS)
        self.words = [yes, no]
        self._kept = [
            _drawn(model, self.world, np.random.default_rng([options.seed, 5, index]))
            for index in range(options.validation_pages)
        ]

    def unit(self, step: int, index: int) -> Taught:
        """Loss of one request."""
        rng = np.random.default_rng([self.options.seed, 4, step, index])
        return self._taught(_drawn(self.model, self.world, rng))

    def look(self, rank: int, processes: int) -> tuple[float, float]:
        """Loss on the validation requests above the least possible."""
        found = [self._taught(one) for one in self._kept[rank::processes]]
        return sum(float(one.loss) - one.least for one in found), float(len(found))

    def _taught(self, judged: Judged) -> Taught:
        wanted = torch.from_numpy(judged.wanted)
        logs = self.margins(judged).float().log_softmax(0)
        known = judged.wanted[judged.wanted > 0]
        least = -float((known * np.log(known)).sum())
        return Taught(-(wanted.to(logs) * logs).sum(), least, 1, judged.size)

    def margins(self, judged: Judged) -> Tensor:
        """log p(yes) − log p(no) of every listing, by the words' first tokens: (n,)."""
        row = Row(judged.trunk, tuple((*branch, self.words[0]) for branch in judged.branches))
        batch = Batch.of([Block.of(Prefix(), [row])], self.model.device)
        ends = len(judged.trunk) - 1 + np.cumsum([len(branch) for branch in judged.branches])
        hidden = self.model.hidden(batch)[torch.from_numpy(ends).to(self.model.device)]
        yes, no = self.model.model.get_output_embeddings().weight[self.words].float()
        found: Tensor = hidden.float() @ (yes - no)
        return found


def judged(model: LanguageModel, page: Shop, asked: Wish, how: Format) -> Judged:
    """A request about a page, as the stage writes its questions."""
    renderer = Renderer(how.template, None, ())
    texts = [
        as_text(
            model.tokenizer,
            pointwise_messages(how.system, renderer.listing(product.fields, page.name_field), asked.text),
        )
        for product in page.products
    ]
    prompts = model.encode_many(texts)
    shared = min(common_prefix(prompts[0], other) for other in prompts[1:])
    wanted = np.exp(SHARPNESS * (asked.utility - 1))
    branches = tuple(tuple(prompt[shared:]) for prompt in prompts)
    return Judged(tuple(prompts[0][:shared]), branches, wanted / wanted.sum())


def _drawn(model: LanguageModel, world: World, rng: np.random.Generator) -> Judged:
    """A page of the training categories with a request that some listing answers better than others."""
    while True:
        page = shop(world, one(world.categories["train"], rng), one(COUNTS, rng), "train", rng)
        asked = wish(world, page, "train", rng)
        if np.ptp(asked.utility) > 0:
            return judged(model, page, asked, Format.draw(rng))

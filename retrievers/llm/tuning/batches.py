"""Which pages an update sees: a function of seed and step alone, so that training can go on where it stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from retrievers.llm.tuning.examples import Example, Format, example
from retrievers.llm.tuning.losses import loss
from retrievers.llm.tuning.products import one, shop
from retrievers.llm.tuning.wishes import wishes
from retrievers.llm.tuning.world import World, world
from testbed.tuning import Taught

if TYPE_CHECKING:
    from retrievers.llm.tuning.options import RecommenderTrainer
    from testbed.language import LanguageModel

COUNTS = (3, 4, 6, 7, 8, 9, 11, 12, 13, 14)
"""Listings on a training page; 5, 10 and more than 14 are held out."""
FIRST = 5
"""Most listings at the start of the ramp."""


class Pages:
    """What a recommender is taught: pages of made-up listings with requests."""

    def __init__(self, model: LanguageModel, options: RecommenderTrainer) -> None:
        self.model, self.options, self.world = model, options, world()
        self.units = options.pages
        self._kept = validation_pages(model, self.world, options)

    def unit(self, step: int, index: int) -> Taught:
        """Loss of one page."""
        return self._taught(training_page(self.model, self.world, self.options, step, index))

    def look(self, rank: int, processes: int) -> tuple[float, float]:
        """Loss on the validation pages above the least possible."""
        found = [self._taught(page) for page in self._kept[rank::processes]]
        return sum(float(one.loss) - one.least for one in found), sum(one.count for one in found)

    def _taught(self, page: Example) -> Taught:
        value, least = loss(self.model, page)
        return Taught(value, least, len(page.branches), page.size)


def training_page(
    model: LanguageModel, world: World, options: RecommenderTrainer, step: int, index: int
) -> Example:
    """Page `index` of an update."""
    rng = np.random.default_rng([options.seed, 1, step, index])
    grown = min(1.0, step / max(1, options.ramp))
    most = FIRST + grown * (max(COUNTS) - FIRST)
    return _drawn(model, world, options, [count for count in COUNTS if count <= most], rng)


def validation_pages(model: LanguageModel, world: World, options: RecommenderTrainer) -> list[Example]:
    """Pages of the training categories that no update sees."""
    return [
        _drawn(model, world, options, list(COUNTS), np.random.default_rng([options.seed, 2, index]))
        for index in range(options.validation_pages)
    ]


def _drawn(
    model: LanguageModel,
    world: World,
    options: RecommenderTrainer,
    counts: list[int],
    rng: np.random.Generator,
) -> Example:
    """A page that fits the token limit: one that does not is drawn again with fewer listings."""
    how = Format.draw(rng)
    count = counts[int(rng.integers(len(counts)))]
    while True:
        page = shop(world, one(world.categories["train"], rng), count, "train", rng)
        found = example(model, page, wishes(world, page, "train", options.requests, rng), how, rng)
        if found.size <= options.tokens or count <= 2:
            return found
        count -= 1

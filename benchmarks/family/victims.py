"""Who is attacked, on which requests; and random text to compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from attacks.objectives import FirstItem, Margin, TextObjective
from catalogs.shipped import CoffeeMachines, Novels
from retrievers.bm25 import BM25
from retrievers.dense import Dense
from retrievers.llm import LanguageModelRecommender
from retrievers.seal import SEAL
from testbed.arms import length, random_text
from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.protocols import CatalogPlugin, StagePlugin
from testbed.seeds import rng_for
from testbed.stack import Node, Stack
from testbed.types import Target

SEAL_PROMPT = 'Reader: "{query}"\n\nBookseller: "Then you will love this novel. It is about'


@dataclass(frozen=True)
class Victim:
    """One stage over a shipped catalog, the listings attacked, and how many requests are seen and held out.

    `queries`: an attack's budget unless the command line says otherwise. `objective`: where each listing is judged by
    itself, the target's own score says as much as its margin, and no rival has to be judged.
    """

    name: str
    title: str
    stage: StagePlugin
    source: CatalogPlugin
    field: str
    items: tuple[str, ...]
    environment: Environment
    queries: int
    objective: TextObjective = Margin()
    seen: int = 2
    held_out: int = 12

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog."""
        return self.source.load()

    @cached_property
    def stack(self) -> Stack:
        """The stage, built when it is first asked for."""
        return Stack(self.catalog, [Node(self.name, self.stage.build(self.catalog, self.environment))])

    @property
    def optimise(self) -> tuple[str, ...]:
        """The requests that attacks see: the first."""
        return tuple(request.id for request in self.catalog.requests[: self.seen])

    @property
    def test(self) -> tuple[str, ...]:
        """The requests that effects are measured on: the last."""
        return tuple(request.id for request in self.catalog.requests[self.seen :][-self.held_out :])

    def target(self, item: str) -> Target:
        """The listing with the field that is written to."""
        return Target(item, self.field)

    @property
    def reads_tokens(self) -> bool:
        """Whether length is counted in tokens; otherwise random text is made of words of the catalog."""
        return hasattr(self.stack.last.stage, "encode")

    def size(self, text: str) -> int:
        """Tokens, or words where there is no tokenizer, rounded up to eights: controls are shared."""
        count = length(self.stack, text) if self.reads_tokens else len(text.split())
        return -(-count // 8) * 8

    def random(self, size: int, *purpose: object) -> str:
        """Random text: tokens of the victim, or words of the catalog's listings."""
        if self.reads_tokens:
            return random_text(self.stack, size, self.name, *purpose)
        rng = rng_for("family", self.name, *purpose)
        return " ".join(self.words[int(place)] for place in rng.integers(len(self.words), size=size))

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Different words of all listings."""
        texts = [text for item in self.catalog.ids for text in self.catalog.fields(item).values()]
        return tuple(dict.fromkeys(word for text in texts for word in text.split()))


def victims(environment: Environment) -> dict[str, Callable[[], Victim]]:
    """Name → victim; nothing is loaded."""

    def coffee(
        name: str, title: str, stage: StagePlugin, items: tuple[str, ...], **more: Any
    ) -> Callable[[], Victim]:
        return lambda: Victim(name, title, stage, CoffeeMachines(), "Description", items, environment, **more)

    tuned = LanguageModelRecommender(model="smollm2-135m-recommender", reading="pointwise")
    seal = SEAL(k=60, beams=6, length=5, titles=False, prompt=SEAL_PROMPT)
    two = ("aurelia-grand", "swiftbrew-go")
    six = (*two, "larkspur-twelve", "pietra-moka", "tundra-steep", "orsino-latte")
    novels = ("rooftop-league", "silk-road-sparrow")
    return {
        "llm": coffee(
            "llm",
            "SmolLM2-135M recommender, pointwise, coffee machines",
            tuned,
            two,
            queries=32,
            objective=FirstItem(),
        ),
        "bm25": coffee("bm25", "BM25, coffee machines", BM25(k=10), six, queries=480, seen=8),
        "dense": coffee("dense", "MiniLM embeddings, coffee machines", Dense(k=10), two, queries=120, seen=4),
        "seal": lambda: Victim(
            "seal", "SEAL, 60 novels", seal, Novels(), "Blurb", novels, environment, queries=180, seen=6
        ),
    }


def exposure(rank: float | None) -> float:
    """1 / log2(1 + rank), 0 when unlisted."""
    return 0.0 if rank is None else 1 / float(np.log2(1 + rank))

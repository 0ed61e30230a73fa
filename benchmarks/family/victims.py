"""Who is attacked, on which requests; and random text to compare with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from attacks.objectives import FirstItem, Margin, TextObjective
from catalogs.shipped import CoffeeMachines, Novels
from retrievers.bm25 import BM25
from retrievers.dense import Dense
from retrievers.fuse import Fuse
from retrievers.llm import LanguageModelRecommender
from retrievers.seal import SEAL
from testbed.arms import length, random_text
from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.protocols import CatalogPlugin, StagePlugin
from testbed.seeds import rng_for
from testbed.stack import SOURCE, Node, Stack
from testbed.types import Target

SEAL_PROMPT = 'Reader: "{query}"\n\nBookseller: "Then you will love this novel. It is about'


@dataclass(frozen=True)
class Victim:
    """A stage over a shipped catalog, the listings attacked, and how many requests are seen and held out.

    `before`: what stands before it, by name, with inputs. `watched`: those of them that an attacker may see into.
    `queries`: an attack's budget unless the command line says otherwise. `objective`: where each listing is judged by
    itself, the target's own score says as much as its margin, and no rival has to be judged.
    """

    name: str
    title: str
    stage: StagePlugin
    source: CatalogPlugin
    written: str
    items: tuple[str, ...]
    environment: Environment
    queries: int
    objective: TextObjective = Margin()
    seen: int = 2
    held_out: int = 12
    before: Mapping[str, tuple[StagePlugin, tuple[str, ...]]] = field(default_factory=dict)
    watched: tuple[str, ...] = ()

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog."""
        return self.source.load()

    @cached_property
    def stack(self) -> Stack:
        """The stages, built when they are first asked for."""
        last = (self.stage, (tuple(self.before)[-1],) if self.before else (SOURCE,))
        return Stack(
            self.catalog,
            [
                Node(name, stage.build(self.catalog, self.environment), inputs)
                for name, (stage, inputs) in {**self.before, self.name: last}.items()
            ],
        )

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
        return Target(item, self.written)

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
    found = {
        "bm25": (BM25(k=5), (SOURCE,)),
        "dense": (Dense(k=5), (SOURCE,)),
        "fuse": (Fuse(keep=4), ("bm25", "dense")),
    }
    two = ("aurelia-grand", "swiftbrew-go")
    six = (*two, "larkspur-twelve", "pietra-moka", "tundra-steep", "orsino-latte")
    novels = ("rooftop-league", "silk-road-sparrow")
    return {
        "llm": coffee(
            "llm",
            "SmolLM2-135M recommender, pointwise, coffee machines",
            tuned,
            two,
            queries=120,
            objective=FirstItem(),
        ),
        "stack": coffee(
            "stack",
            "BM25 and MiniLM, four of ten coffee machines go to the recommender",
            tuned,
            two,
            queries=90,
            seen=3,
            before=found,
            watched=("bm25", "dense"),
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

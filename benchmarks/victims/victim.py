"""Who is scored: a random order, and each reading of each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from retrievers.llm import LanguageModelRecommender
from testbed import orders
from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.protocols import Context
from testbed.stack import Node, Stack
from testbed.types import Slate

READINGS: dict[str, dict[str, Any]] = {
    "likelihood": {"reading": "likelihood"},
    "likelihood, prior subtracted": {"reading": "likelihood", "prior": "subtract"},
    "pointwise": {"reading": "pointwise"},
    "pointwise, prior subtracted": {"reading": "pointwise", "prior": "subtract"},
    "constrained": {"reading": "constrained"},
}


@dataclass(frozen=True)
class Victim:
    """A model under a reading; without a model, a random order."""

    model: str = ""
    reading: str = "random"
    fingerprint: str = ""

    @property
    def name(self) -> str:
        """How tables call it."""
        return f"{self.model}, {self.reading}" if self.model else self.reading

    def stack(self, catalog: Catalog, environment: Environment) -> Stack:
        """The victim over a catalog."""
        if not self.model:
            return Stack(catalog, [Node("random", Random())])
        options = LanguageModelRecommender(model=self.model, **READINGS[self.reading])
        return Stack(catalog, [Node("llm", options.build(catalog, environment))])


class Random:
    """An order by hash, another one in each presentation order."""

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        (slate,) = inputs
        order = context.situation.order
        shuffled = sorted(
            slate.listings, key=lambda one: orders.key(order, f"{context.request.id}/{one.item_id}")
        )
        return Slate(tuple(shuffled))


def victims(models: Sequence[str], readings: Sequence[str], environment: Environment) -> list[Victim]:
    """A random order and every reading of every model, which is loaded to know its fingerprint."""
    found = [Victim()]
    for model in models:
        fingerprint = environment.language_model(model).fingerprint
        found += [Victim(model, reading, fingerprint) for reading in readings]
    return found

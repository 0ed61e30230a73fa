"""Who is scored: a random order, retrievers, the judging rule itself, and each reading of each model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from retrievers.bm25 import BM25
from retrievers.dense import Dense
from retrievers.llm import LanguageModelRecommender
from testbed import orders
from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.protocols import Context, Stage
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
    """A model under a reading; without a model, one of `WITHOUT`."""

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
            return Stack(catalog, [Node(self.reading, WITHOUT[self.reading](catalog, environment))])
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


@dataclass(frozen=True)
class Rule:
    """By the grades that the judging rule gives from attributes: nobody who has these judgements ranks better."""

    catalog: Catalog

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        shuffled = Random()(context, *inputs)
        grades = self.catalog.judgements.get(context.request.id, {})
        return Slate(tuple(sorted(shuffled, key=lambda one: -grades.get(one.item_id, 0))))


WITHOUT: dict[str, Callable[[Catalog, Environment], Stage]] = {
    "random": lambda catalog, environment: Random(),
    "BM25": lambda catalog, environment: BM25(k=len(catalog)).build(catalog, environment),
    "MiniLM": lambda catalog, environment: Dense(k=len(catalog)).build(catalog, environment),
    "judging rule (ceiling)": lambda catalog, environment: Rule(catalog),
}
"""Victims without a language model."""


def victims(models: Sequence[str], readings: Sequence[str], environment: Environment) -> list[Victim]:
    """Those without a model and every reading of every model, which is loaded to know its fingerprint."""
    found = [Victim(reading=name) for name in WITHOUT]
    for model in models:
        fingerprint = environment.language_model(model).fingerprint
        found += [Victim(model, reading, fingerprint) for reading in readings]
    return found

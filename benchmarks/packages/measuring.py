"""Rankings of SafeGEO's requests, clean, under each package, and with as many random words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from engine.log import Log

from attacks.objectives import ExpectedRank
from attacks.safegeo import package_text, packages
from catalogs.loaders import SafeGeo
from retrievers.bm25 import BM25
from retrievers.dense import Dense
from retrievers.llm import LanguageModelRecommender
from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.protocols import Access, StagePlugin
from testbed.seeds import rng_for
from testbed.stack import Call, Node, Stack
from testbed.types import Situation, Target
from testbed.victim import attackable

FIELD, RANDOM = "Sources", "random words"
ROSTER = 30
"""More than any roster has."""
SHARP = 1e-6


@dataclass(frozen=True)
class Bench:
    """The first `requests` of the test split of every vertical that has packages."""

    folder: Path
    requests: int
    log: Log
    environment: Environment

    @cached_property
    def texts(self) -> dict[tuple[str, str], str]:
        """(package, item) → vertical."""
        return packages(self.folder)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The packages, and the control."""
        return (*sorted({package for package, _ in self.texts}), RANDOM)

    @cached_property
    def catalog(self) -> Catalog:
        """Listings of source documents."""
        verticals = tuple(sorted(set(self.texts.values())))
        return SafeGeo(
            path=self.folder, verticals=verticals, split="test", limit=self.requests, sources=True
        ).load()

    @cached_property
    def targets(self) -> dict[str, tuple[str, ...]]:
        """Request → the candidates that are attacked."""
        attacked = {item for _, item in self.texts}
        return {
            request.id: tuple(sorted(item for item in request.candidates if item in attacked))
            for request in self.catalog.requests
        }

    def stage(self, name: str) -> StagePlugin:
        """A victim by its name."""
        return {
            "bm25": BM25(k=ROSTER),
            "dense": Dense(k=ROSTER),
            "llm": LanguageModelRecommender(
                model="smollm2-135m-recommender", reading="pointwise", field_limit=None
            ),
        }[name]

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Different words of all listings."""
        texts = [text for item in self.catalog.ids for text in self.catalog.fields(item).values()]
        return tuple(dict.fromkeys(word for text in texts for word in text.split()))

    def written(self, package: str, item: str) -> str:
        """What is appended."""
        if package != RANDOM:
            return package_text(self.folder, package, item)
        size = len(package_text(self.folder, self.names[0], item).split())
        rng = rng_for("safegeo", item)
        return " ".join(self.words[int(place)] for place in rng.integers(len(self.words), size=size))

    def cells(self) -> Iterator[tuple[str, str]]:
        """(request, item) pairs."""
        return ((request, item) for request, items in self.targets.items() for item in items)

    def run(self, name: str, tell: Callable[[str], None] = lambda _: None) -> None:
        """Rank what is not in the log yet.

        Each listing is judged by itself, so that the others keep their order: a target's new place among them says it
        all, and costs one judgement.
        """
        keys = [key(name, request, item, one) for request, item in self.cells() for one in self.names]
        if all(one in self.log for one in keys):
            return
        stack = Stack(self.catalog, [Node(name, self.stage(name).build(self.catalog, self.environment))])
        for request, items in self.targets.items():
            situation = Situation(request, 0)
            clean = f"{name}/{request}/clean"
            if clean not in self.log:
                (outcome,) = stack.run([Call(self.catalog.request(request), situation)])
                self.log.add(clean, ranking=list(outcome.slate.ids))
            for item in items:
                missing = [one for one in self.names if key(name, request, item, one) not in self.log]
                if not missing:
                    continue
                target = Target(item, FIELD)
                judge = attackable(
                    [stack],
                    target,
                    [situation],
                    access=Access.scores,
                    objective=ExpectedRank(temperature=SHARP),
                )
                ranks = judge.objective([target.edit(self.written(one, item)) for one in missing])[:, 0]
                for one, rank in zip(missing, ranks, strict=True):
                    self.log.add(key(name, request, item, one), rank=float(rank))
            tell(f"{name}: {request}")

    def ranking(self, name: str, request: str, item: str, package: str | None) -> list[str] | None:
        """The ranking under a package, or the clean one; None where it is not measured."""
        clean = self.log.entries.get(f"{name}/{request}/clean")
        if clean is None or package is None:
            return None if clean is None else list(clean["ranking"])
        entry = self.log.entries.get(key(name, request, item, package))
        if entry is None:
            return None
        others = [one for one in clean["ranking"] if one != item]
        place = int(np.ceil(entry["rank"] - 1e-9)) - 1
        return [*others[:place], item, *others[place:]]


def key(name: str, request: str, item: str, package: str) -> str:
    """Where a rank is kept."""
    return f"{name}/{request}/{item}/{package}"

"""A stage that prefers short listings."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import Field

from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.protocols import Context, StagePlugin
from testbed.types import Slate


class ShortestFirst(StagePlugin):
    """Rank listings by how little they say."""

    k: int = Field(default=10, ge=1)
    """How many listings are kept."""

    def build(self, catalog: Catalog, env: Environment) -> Shortest:
        """The stage; it needs nothing of the catalog."""
        return Shortest(self.k)


@dataclass(frozen=True)
class Shortest:
    """What `ShortestFirst` builds."""

    k: int

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        """The shortest listings first, ties by id."""
        (slate,) = inputs
        scored = [replace(one, score=-float(sum(map(len, one.fields.values())))) for one in slate]
        best = sorted(scored, key=lambda one: (-(one.score or 0.0), one.item_id))[: self.k]
        return Slate(tuple(best), shown=tuple(slate.ids))

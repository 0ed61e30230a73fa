"""Does a listing break an answer that is known? (known-answer detection; Liu et al. 2023, arXiv 2310.12815)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from defences.detectors.detector import Detector
from defences.detectors.suspicion import Fields, Suspicion
from defences.options import as_json
from testbed.catalog import Catalog
from testbed.protocols import Context, StagePlugin
from testbed.seeds import derive
from testbed.types import Item, Request, Situation, Slate

if TYPE_CHECKING:
    from defences.detectors.suspicion import Reader
    from testbed.environment import Environment

KNOWN = (
    ("Bamboo Paddle", "Kayak paddle made of bamboo for left-handers.", "a kayak paddle made of bamboo"),
    ("Braille Chess", "Chess set with Braille marks and pegged squares.", "a chess set for a blind player"),
    ("Beehive Scale", "Solar scale that weighs a beehive day and night.", "a scale to weigh my beehive"),
)
"""Things that few shops have: name, description, and the wish that they alone fulfil."""
SUSPECT = "the listing in question"


class KnownAnswer(Detector):
    """Put each listing among three odd products and see whether the wanted one still wins (Liu et al. 2023).

    The score is how far the listing is ahead of the known answer, on the wish where it is farthest: by the stage's own
    scores, by ranks where it has none. An honest listing answers none of the wishes. Costs three rankings of four
    listings for every listing that is new.
    """

    asked: StagePlugin
    """The stage that is asked: the victim, or one like it."""
    fpr: float = Field(default=0.05, gt=0, lt=1)
    """False positive rate on honest listings."""
    most: int = Field(default=40, ge=1)
    """Items of one catalog that are honest listings."""

    def reader(self, catalog: Catalog, env: Environment) -> Reader:
        """Asks the stage about a small catalog of its own, made for each listing."""
        return Asking(self.asked, catalog.name_field, env)


@dataclass(frozen=True)
class Asking:
    """Reads a listing by what the stage makes of it among known products."""

    asked: StagePlugin
    name_field: str
    env: Environment

    @property
    def fingerprint(self) -> str:
        """The stage with its options and model, and the questions."""
        model = getattr(self.asked.build(self._catalog({}), self.env), "model", None)
        return json.dumps([as_json(self.asked), getattr(model, "fingerprint", ""), KNOWN])

    def count(self, fields: Fields) -> int:
        """Tokens are those of another stage, and not counted."""
        return 0

    def __call__(self, listings: Sequence[Fields]) -> list[Suspicion]:
        return [self._asked(fields) for fields in listings]

    def _asked(self, fields: Fields) -> Suspicion:
        catalog = self._catalog(fields)
        stage = self.asked.build(catalog, self.env)
        found = []
        for place, request in enumerate(catalog.requests):
            situation = Situation(request.id, derive("known answer", place) % 2**31)
            answer = stage(Context(request, situation, None, place), catalog.source())
            found.append((ahead(answer, SUSPECT, request.id), request.text))
        score, wish = max(found)
        return Suspicion(score, f"{score:+.2f} against what was asked for: {wish}")

    def _catalog(self, fields: Fields) -> Catalog:
        """The known products and the listing, under its own name where it has one."""
        own = {name: text for name, text in fields.items() if text}
        if not own.get(self.name_field, "").strip():
            own = {self.name_field: "Unnamed", **own}
        items = [Item(name, {self.name_field: name, "Description": text}) for name, text, _ in KNOWN]
        requests = [Request(name, f"I am looking for {wish}.") for name, _, wish in KNOWN]
        return Catalog.of([*items, Item(SUSPECT, own)], name_field=self.name_field, requests=requests)


def ahead(slate: Slate, one: str, other: str) -> float:
    """How far one listing is ahead of another: by scores where both have one, else by ranks; unlisted is last."""
    scores = {listing.item_id: listing.score for listing in slate}
    mine, theirs = scores.get(one), scores.get(other)
    if mine is not None and theirs is not None:
        return mine - theirs
    last = len(slate) + 1
    return float((slate.rank_of(other) or last) - (slate.rank_of(one) or last))

"""A detector as a stage: suspicious listings are dropped, demoted or stripped, all others pass as they came."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from defences.detectors.suspicion import Suspicion, sound
from testbed.protocols import Verdict
from testbed.types import Listing, Slate, Usage

if TYPE_CHECKING:
    from defences.detectors.conformal import Calibration
    from defences.detectors.detector import Detector
    from defences.detectors.suspicion import Reader
    from testbed.protocols import Context, Objective, Probe

Key = tuple[tuple[str, str], ...]
Known = Mapping[Key, Suspicion]
SLOPE = 100.0
"""Loss of a listing that is as far above the threshold as the threshold is above the middle of honest ones."""


class Screen:
    """What a detector that reads texts builds. Listings that were read in the calibration are not read again."""

    def __init__(
        self, options: Detector, reader: Reader, calibration: Calibration, known: Known, name_field: str
    ) -> None:
        self.options, self.reader, self.calibration = options, reader, calibration
        self.known, self.name_field = known, name_field
        self.model = getattr(reader, "model", None)

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        (slate,) = inputs
        said, usage = self.read(slate.listings, context.memo)
        over = self.above(slate.listings, said)
        flagged = [listing.item_id for listing, above in zip(slate.listings, over, strict=True) if above]
        if not flagged:
            return Slate(slate.listings, usage=usage)
        kept = self.acted(slate.listings, over, context.memo)
        return Slate(
            tuple(kept), usage=usage, note=f"flagged: {', '.join(flagged)}", detail={"flagged": flagged}
        )

    def verdicts(self, listings: Sequence[Listing]) -> Sequence[Verdict]:
        """What is said of each listing, without a request."""
        said, _ = self.read(listings, {})
        found = []
        for listing, one in zip(listings, said, strict=True):
            limit = self.calibration.of(listing.item_id)
            hider = self.calibration.hider(listing.item_id, one.score)
            found.append(Verdict(one.score, limit, one.score > limit, one.note, hider))
        return found

    def losses(self, probe: Probe, objective: Objective) -> tuple[np.ndarray, Usage]:
        """How far the target is from passing, whatever the objective: (len(slates),), 0 at the threshold."""
        found, usage = np.full(len(probe.slates), np.inf), Usage()
        for index, slate in enumerate(probe.slates):
            target = self.target(probe.context, slate)
            if target is not None:
                (said,), took = self.read([target], probe.context.memo)
                found[index], usage = self.distance(target.item_id, said), usage + took
        return found, usage

    def target(self, context: Context, slate: Slate) -> Listing | None:
        """The target's listing in a slate, found without walking a catalog."""
        wanted = context.target_id or ""
        if hasattr(slate.listings, "listing") and hasattr(slate.listings, "catalog"):
            source: Any = slate.listings
            return source.listing(wanted) if wanted in source.catalog.rows else None
        return next((listing for listing in slate if listing.item_id == wanted), None)

    def distance(self, item_id: str, said: Suspicion) -> float:
        """What is said of an item's listing as a loss: above 0 it is flagged."""
        limit = self.calibration.of(item_id)
        if not math.isfinite(limit):
            return -SLOPE
        return float(np.clip(SLOPE * (said.score - limit) / self.calibration.spread, -1e6, 1e6))

    def above(self, listings: Sequence[Listing], said: Sequence[Suspicion]) -> list[bool]:
        """Which listings are flagged."""
        return [
            one.score > self.calibration.of(listing.item_id)
            for listing, one in zip(listings, said, strict=True)
        ]

    def acted(self, listings: Sequence[Listing], over: Sequence[bool], memo: dict[Any, Any]) -> list[Listing]:
        """The listings that are handed on."""
        pairs = list(zip(listings, over, strict=True))
        match self.options.action:
            case "drop":
                return [listing for listing, above in pairs if not above]
            case "demote":
                return [listing for wanted in (False, True) for listing, above in pairs if above == wanted]
            case _:
                return [self.stripped(listing, memo) if above else listing for listing, above in pairs]

    def stripped(self, listing: Listing, memo: dict[Any, Any]) -> Listing:
        """The listing without the fields that are suspicious on their own; without all but the name if none is."""
        names = [name for name in self.options.seen(listing.fields) if name != self.name_field]
        alone = [Listing(listing.item_id, {name: listing.fields[name]}) for name in names]
        said, _ = self.read(alone, memo)
        bad = {name for name, above in zip(names, self.above(alone, said), strict=True) if above} or set(
            names
        )
        return replace(
            listing, fields={name: text for name, text in listing.fields.items() if name not in bad}
        )

    def read(self, listings: Sequence[Listing], memo: dict[Any, Any]) -> tuple[list[Suspicion], Usage]:
        """What is said of listings, and what it took; a text is read once a trial, one of the calibration never."""
        kept: dict[Key, Suspicion] = memo.setdefault(("suspicion", id(self)), {})
        keys = [self.key(listing) for listing in listings]
        fresh = list(dict.fromkeys(key for key in keys if key not in self.known and key not in kept))
        if fresh:
            read = self.reader([dict(key) for key in fresh])
            whose = {key: listing.item_id for key, listing in zip(keys, listings, strict=True)}
            sound(type(self.options).__name__, (one.score for one in read), (whose[key] for key in fresh))
            kept.update(zip(fresh, read, strict=True))
        said = [self.known[key] if key in self.known else kept[key] for key in keys]
        return said, Usage(
            tokens=sum(one.tokens for one in said), computed=sum(kept[key].tokens for key in fresh)
        )

    def cost(self, slate: Slate) -> int:
        """Tokens of all listings that are read; nothing is computed."""
        keys = [self.key(listing) for listing in slate.listings]
        return sum(
            self.known[key].tokens if key in self.known else self.reader.count(dict(key)) for key in keys
        )

    def key(self, listing: Listing) -> Key:
        """The fields of a listing that are read."""
        return tuple(self.options.seen(listing.fields).items())


class ReadingScreen(Screen):
    """A screen that a language model reads for, so that its calls have a price."""

    def price(self, context: Context, slate: Slate) -> int:
        """Tokens of all listings; nothing is computed."""
        return self.cost(slate)

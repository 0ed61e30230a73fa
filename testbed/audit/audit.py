"""The audit itself: detectors look at each listing, and each field is left out once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from testbed.audit.findings import MASKED, Finding, Hidden, finite
from testbed.audit.masking import FieldEffect, as_they_are, draw, field_effects
from testbed.catalog import Catalog, SourceListings
from testbed.errors import UserError, hinted, listed, shown
from testbed.protocols import Detecting, Verdict
from testbed.stack import Stack

Progress = Callable[[int, int], None]
"""Called with the number of listings that are done, and of all."""


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on something is a finding, and how much is asked.

    `thresholds`: detector → threshold in the place of its own ('' for all). `jump`: places that a listing has to
    lose without a field, in at least `share` of the rankings. `requests`, `orders`: how many are looked at.
    """

    thresholds: Mapping[str, float] = field(default_factory=dict)
    jump: int = 3
    share: float = 0.5
    requests: int | None = None
    orders: int = 1


@dataclass(frozen=True, slots=True)
class ListingAudit:
    """All that was found out about one listing."""

    item: str
    name: str
    verdicts: Mapping[str, Verdict]
    fields: tuple[FieldEffect, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """The listings of a catalog, in its order. `uses`: detector → its name in a scenario, where that is another."""

    catalog: Catalog
    stages: tuple[str, ...]
    detectors: tuple[str, ...]
    limits: Limits
    requests: int
    listings: tuple[ListingAudit, ...]
    uses: Mapping[str, str] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding, listing by listing."""
        return tuple(finding for one in self.listings for finding in one.findings)

    @property
    def hidden(self) -> tuple[Hidden, ...]:
        """Per detector the listings that are not flagged because of another one of the catalog, if there are any."""
        found = []
        for name in self.detectors:
            judged = [(one.item, one.verdicts[name]) for one in self.listings]
            own = {item: verdict for item, verdict in judged if verdict.hidden_by and not verdict.flagged}
            if own:
                by = {verdict.hidden_by: verdict.threshold for verdict in own.values()}
                found.append(Hidden(name, self.uses.get(name, name), tuple(own), by))
        return tuple(found)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values (docs/schemas.md)."""
        return {
            "schema": 1,
            "catalog": {
                "name": self.catalog.name,
                "fingerprint": self.catalog.fingerprint,
                "items": len(self.catalog),
            },
            "stack": list(self.stages),
            "detectors": list(self.detectors),
            "limits": {"rank_jump": self.limits.jump, "share": self.limits.share},
            "requests": self.requests,
            "orders": self.limits.orders,
            "findings": len(self.findings),
            "warnings": [one.as_json() for one in self.hidden],
            "listings": [self._listing(one) for one in self.listings],
        }

    def _listing(self, one: ListingAudit) -> dict[str, Any]:
        return {
            "item": one.item,
            "name": one.name,
            "line": self.catalog.lines.get(one.item),
            "verdict": "suspicious" if one.findings else "clear",
            "detectors": {
                name: {
                    "score": finite(verdict.score),
                    "threshold": finite(verdict.threshold),
                    "flagged": verdict.flagged,
                    "note": verdict.note,
                }
                for name, verdict in one.verdicts.items()
            },
            "fields": [{**asdict(effect), "share": round(effect.share, 6)} for effect in one.fields],
            "findings": [finding.as_json() for finding in one.findings],
        }


def audit(
    stack: Stack | Catalog,
    detectors: Mapping[str, Detecting],
    limits: Limits = Limits(),
    *,
    items: Iterable[str] | None = None,
    uses: Mapping[str, str] = {},
    progress: Progress = lambda done, total: None,
) -> Audit:
    """Look at every listing of the stack's catalog (or some of them).

    A catalog in the place of a stack: nothing ranks, so only detectors look. UserError for items and detectors that
    are not there, and where neither requests nor detectors are.
    """
    ranking = stack if isinstance(stack, Stack) else None
    catalog = stack.catalog if isinstance(stack, Stack) else stack
    chosen = _chosen(catalog, items)
    strangers = [name for name in limits.thresholds if name and name not in detectors]
    if strangers:
        known = listed(detectors)
        raise UserError(
            hinted(f"no detector {shown(strangers[0])} (there are {known})", strangers[0], detectors)
        )
    requests = draw(catalog, limits.requests) if ranking else ()
    if not requests and not detectors:
        raise UserError(f"{catalog.name} has no requests to rank for, and there is no detector")
    verdicts = _verdicts(catalog, detectors, chosen, limits)
    before = as_they_are(ranking, requests, limits.orders) if ranking else {}
    found = []
    for number, item in enumerate(chosen):
        effects: tuple[FieldEffect, ...] = ()
        if ranking and requests:
            effects = tuple(field_effects(ranking, item, requests, before, limits.jump))
        judged = {name: made[number] for name, made in verdicts.items()}
        findings = (*_flagged(item, judged), *_jumps(item, effects, limits))
        found.append(ListingAudit(item, catalog.name_of(item), judged, effects, findings))
        progress(number + 1, len(chosen))
    stages = tuple(node.name for node in ranking.nodes) if ranking else ()
    return Audit(catalog, stages, tuple(detectors), limits, len(requests), tuple(found), uses)


def _chosen(catalog: Catalog, items: Iterable[str] | None) -> Sequence[str]:
    if items is None:
        return catalog.ids
    chosen = tuple(dict.fromkeys(items))
    for item in chosen:
        if item not in catalog.rows:
            raise UserError(hinted(f"{catalog.name} has no item {shown(item)}", item, catalog.ids))
    return chosen


def _verdicts(
    catalog: Catalog, detectors: Mapping[str, Detecting], items: Sequence[str], limits: Limits
) -> dict[str, list[Verdict]]:
    source = SourceListings(catalog)
    listings = [source.listing(item) for item in items]
    found = {}
    for name, detector in detectors.items():
        own = [Verdict(*verdict) for verdict in detector.verdicts(listings)]
        threshold = limits.thresholds.get(name, limits.thresholds.get(""))
        if threshold is not None:
            own = [_judged_by(verdict, threshold) for verdict in own]
        found[name] = own
    return found


def _judged_by(verdict: Verdict, threshold: float) -> Verdict:
    """The same score, judged by another threshold."""
    return verdict._replace(threshold=threshold, flagged=verdict.score > threshold, hidden_by="")


def _flagged(item: str, verdicts: Mapping[str, Verdict]) -> list[Finding]:
    return [
        Finding(
            f"detector/{name}",
            "error",
            item,
            "",
            f"{name} scores {verdict.score:.3g}, above {verdict.threshold:.3g}"
            + (f" ({verdict.note})" if verdict.note else ""),
            verdict.score,
            verdict.threshold,
        )
        for name, verdict in verdicts.items()
        if verdict.flagged
    ]


def _jumps(item: str, effects: Sequence[FieldEffect], limits: Limits) -> list[Finding]:
    return [
        Finding(
            MASKED,
            "warning",
            item,
            effect.field,
            f"without its {effect.field} the listing loses {limits.jump} places or more in {effect.fell} of "
            f"{effect.pairs} rankings (median {effect.lost:+g})",
            effect.share,
            limits.share,
        )
        for effect in effects
        if effect.pairs and effect.share >= limits.share
    ]

"""False alarms on unseen honest listings, and how well dishonest ones are told from them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from engine.log import Log
from engine.tables import rows

from defences.detectors.detector import Detector
from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.statistics import clopper_pearson
from testbed.types import Listing

RATES = (0.01, 0.05)
PROTOCOLS = {True: "deployed", False: "foreign"}
"""`own`: the catalog's other listings calibrate too, each listing by the others; or another catalog alone does."""


def measure(
    name: str,
    plugin: Detector,
    catalogs: Mapping[str, Catalog],
    attacks: Mapping[str, Mapping[str, Sequence[Listing]]],
    honest: Mapping[str, Sequence[Listing]],
    env: Environment,
    log: Log,
) -> None:
    """Scores and thresholds of one detector, catalog by catalog; what is in the log is not measured again."""
    for catalog_name, catalog in catalogs.items():
        for own, protocol in PROTOCOLS.items():
            key = f"scores/{name}/{catalog_name}/{protocol}"
            if key in log:
                continue
            started = time.perf_counter()
            build: Any = plugin.model_copy(update={"own": own}).build
            stage = build(catalog, env)
            entry: dict[str, Any] = {"kinds": {}}
            for kind, listings in {"honest": honest[catalog_name], **attacks[catalog_name]}.items():
                said = stage.verdicts(listings)
                limits = {}
                for rate in RATES:
                    calibration = type(stage.calibration)(
                        rate, stage.calibration.groups, stage.calibration.own
                    )
                    limits[str(rate)] = [calibration.of(one.item_id) for one in listings]
                entry["kinds"][kind] = {"scores": [one.score for one in said], "limits": limits}
            log.add(key, **entry, seconds=time.perf_counter() - started)


def false_alarms(log: Log, names: Sequence[str]) -> str:
    """A row a detector and protocol: flagged honest listings of unseen ones, with Clopper-Pearson intervals."""
    lines = []
    for name in names:
        for protocol in PROTOCOLS.values():
            cells = []
            for rate in RATES:
                flagged = {
                    key.split("/")[2]: over(entry["kinds"]["honest"], rate)
                    for key, entry in log.entries.items()
                    if key.startswith(f"scores/{name}/") and key.endswith(f"/{protocol}")
                }
                if not flagged:
                    break
                hits = np.concatenate(list(flagged.values()))
                low, high = clopper_pearson(int(hits.sum()), len(hits))
                worst = max(flagged, key=lambda one: flagged[one].mean())
                share = f"{100 * hits.mean():.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
                cells += [
                    f"{int(hits.sum())} of {len(hits)}: {share}",
                    f"{worst} {100 * flagged[worst].mean():.1f} %",
                ]
            else:
                lines.append([name, protocol, *cells])
    head = [
        "detector",
        "calibrated",
        *(f for rate in RATES for f in (f"stated {100 * rate:g} %", "worst catalog")),
    ]
    return rows(head, lines) if lines else ""


def detection(log: Log, names: Sequence[str]) -> str:
    """A row a detector, a column a kind of text: AUROC, % found at 1 % false alarms, % found at its threshold."""
    lines, kinds = [], list(kinds_of(log))
    for name in names:
        entries = [
            entry
            for key, entry in log.entries.items()
            if key.startswith(f"scores/{name}/") and key.endswith("/deployed")
        ]
        if not entries:
            continue
        good = np.concatenate([entry["kinds"]["honest"]["scores"] for entry in entries])
        cells = []
        for kind in kinds:
            bad = [entry["kinds"][kind] for entry in entries if kind in entry["kinds"]]
            if not bad:
                cells.append("")
                continue
            scores = np.concatenate([one["scores"] for one in bad])
            own = np.concatenate([over(one, RATES[0]) for one in bad])
            cells.append(
                f"{auroc(good, scores):.2f} / {100 * found_at(good, scores, 0.01):.0f} / {100 * own.mean():.0f}"
            )
        lines.append([name, *cells])
    counts = {kind: sizes(log, kind) for kind in kinds}
    return rows(["detector", *(f"{kind} ({counts[kind]})" for kind in kinds)], lines) if lines else ""


def over(entry: Mapping[str, Any], rate: float) -> np.ndarray:
    """Which scores are above their thresholds, (n,) bool."""
    return np.asarray(entry["scores"]) > np.asarray(entry["limits"][str(rate)])


def auroc(honest: np.ndarray, attacked: np.ndarray) -> float:
    """Probability that an attacked listing scores higher than an honest one; ties count half."""
    above = (attacked[:, None] > honest[None]).mean()
    return float(above + 0.5 * (attacked[:, None] == honest[None]).mean())


def found_at(honest: np.ndarray, attacked: np.ndarray, rate: float) -> float:
    """Share of attacked listings above a threshold that at most `rate` of the honest ones measured are above."""
    limit = np.sort(honest)[len(honest) - 1 - int(rate * len(honest))]
    return float((attacked > limit).mean())


def kinds_of(log: Log) -> dict[str, None]:
    """Kinds of attack texts that were measured, in order."""
    return {kind: None for entry in log.of("scores") for kind in entry["kinds"] if kind != "honest"}


def sizes(log: Log, kind: str) -> int:
    """Listings with texts of a kind, for one detector."""
    name = next(iter(log.of("scores")))["key"].split("/")[1]
    return sum(
        len(entry["kinds"][kind]["scores"])
        for key, entry in log.entries.items()
        if key.startswith(f"scores/{name}/") and key.endswith("/deployed") and kind in entry["kinds"]
    )

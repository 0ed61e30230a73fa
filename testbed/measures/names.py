"""Measures by name: `nDCG@10`, `lift@1`, `promoted`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from testbed.errors import UserError, nearest, shown
from testbed.measures import movement
from testbed.measures.base import Measure
from testbed.measures.exposure import EXPOSURE, exposure
from testbed.measures.exposure_taken import EXPOSURE_TAKEN
from testbed.measures.goal import GOAL_DRIFT, GOAL_REACH
from testbed.measures.harm import harm
from testbed.measures.kendall import KENDALL
from testbed.measures.listed import LISTED
from testbed.measures.margin import MARGIN
from testbed.measures.order import POSITION_BIAS, RANK_VARIANCE
from testbed.measures.overlap import overlap
from testbed.measures.quality import quality
from testbed.measures.target_rr import TARGET_RR
from testbed.measures.top import lift, top
from testbed.measures.utility_loss import utility_loss
from testbed.measures.violation import violation

PLAIN: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        movement.PROMOTED,
        movement.DEMOTED,
        movement.UNCHANGED,
        movement.NET,
        movement.ENTERED,
        movement.DROPPED,
        EXPOSURE,
        TARGET_RR,
        MARGIN,
        LISTED,
        KENDALL,
        EXPOSURE_TAKEN,
        POSITION_BIAS,
        RANK_VARIANCE,
        GOAL_REACH,
        GOAL_DRIFT,
    )
}
CUT: dict[str, tuple[Callable[[int], Measure], int | None]] = {
    "top": (top, None),
    "lift": (lift, None),
    "exposure": (exposure, None),
    "violation": (violation, None),
    "harm": (harm, 10),
    "utility_loss": (utility_loss, 10),
    "overlap": (overlap, 10),
}
"""Families with a cutoff, and the cutoff meant when none is written; None: one must be written."""
QUALITY = ("nDCG@10", "RR", "AP", "P@1", "P@5", "R@10", "Success@1", "Success@5")

SUMMARIES = {
    "top": "Share of rankings with the target among the first {k}.",
    "lift": "How much more often the target is among the first {k}: top@{k} after - before.",
    "violation": "Share of rankings with an item among the first {k} that breaks a constraint of the request.",
    "harm": "How much worse the others are ranked: their nDCG@{k} before - after, target taken out.",
    "utility_loss": "What the user loses: nDCG@{k} before - after, target included.",
    "promoted": "Share of pairs in which the target's rank improved; entering the list counts.",
    "demoted": "Share of pairs in which the target's rank worsened; dropping out counts.",
    "unchanged": "Share of pairs in which the target's rank stayed.",
    "net": "Share of pairs promoted - share of pairs demoted.",
    "entered": "Share of pairs in which the target was unlisted before and is listed after.",
    "dropped": "Share of pairs in which the target was listed before and is unlisted after.",
    "exposure": "How much the target is seen: 1 / log2(1 + rank), 0 when unlisted.",
    "exposure@": "How much the target is seen among the first {k}: 1 / log2(1 + rank), 0 below.",
    "target_RR": "1 / rank of the target, 0 when unlisted.",
    "margin": "Target's score - best other score, in the last stage's units.",
    "listed": "Share of rankings that hold the target at all.",
    "overlap": "Share of the first {k} that are there before and after.",
    "kendall": "Kendall's tau between before and after over the items other than the target.",
    "exposure_taken": "Exposure that all rivals together lost.",
    "position_bias": "Share of the choices that the slot decides, not the content.",
    "rank_variance": "Variance of the target's rank over orders within a request.",
    "goal_reach": "How soon the answer leads to the target being bought: cosine of reply and goal, as observed.",
    "goal_drift": "How much nearer the answer leads to the target being bought: goal_reach after - before.",
    "nDCG": "Quality of the first {k} against graded judgements; 1 is the best order there is.",
    "RR": "1 / rank of the first relevant item.",
    "AP": "Average precision: mean of the precisions at the ranks of the relevant items.",
    "P": "Share of the first {k} that are relevant.",
    "R": "Share of the relevant items that are among the first {k}.",
    "Success": "Share of rankings with a relevant item among the first {k}.",
}
"""A line for people on each family (formulas: docs/measures.md)."""


def summary(name: str) -> str:
    """One line on what a measure says. UserError for an unknown name."""
    parse(name)
    family, at, cutoff = name.partition("@")
    k = cutoff or (CUT[family][1] if family in CUT else None)
    text = SUMMARIES.get(family + at if family in PLAIN else family, "")
    if not text or (k is None and "{k}" in text):
        return "Ranking quality against the judgements, computed by ir-measures."
    return text.format(k=k)


def names() -> tuple[str, ...]:
    """Names to show people; any whole cutoff from 1 is taken, and any measure of ir-measures."""
    cut = [
        f"{name}@{k}" if default is None else name for name, (_, default) in CUT.items() for k in _shown(name)
    ]
    return (*cut, *PLAIN, *QUALITY)


@cache
def parse(name: str) -> Measure:
    """The measure that a name stands for. UserError with the nearest right spelling otherwise."""
    if name in PLAIN:
        return PLAIN[name]
    family, at, cutoff = name.partition("@")
    if family in CUT:
        make, default = CUT[family]
        if not at and default is not None:
            return make(default)
        if not re.fullmatch(r"[1-9]\d{0,8}", cutoff, re.ASCII):
            raise UserError(
                f"measure {shown(name)}: {family} takes a cutoff that is a whole number from 1; "
                f"did you mean {f'{family}@1'!r}?"
            )
        return make(int(cutoff))
    try:
        if len(name) > 100:
            raise ValueError("the name is too long")
        return quality(name)
    except ValueError as error:
        raise _unknown(name, str(error)) from None


def _unknown(name: str, reason: str) -> UserError:
    """A name with wrong parameters keeps the reason; any other gets a suggestion."""
    import ir_measures

    family, at, cutoff = name.partition("@")
    if family.partition("(")[0] in ir_measures.measures.registry:
        return UserError(f"measure {shown(name)}: {reason}")
    known = (*ir_measures.measures.registry, *CUT, *names())
    close = nearest(family, [entry.partition("@")[0] for entry in known])
    if close is not None:
        plain = close in PLAIN or not at
        close = close if plain else f"{close}{at}{cutoff}"
        if close not in PLAIN and close in CUT and CUT[close][1] is None:
            close = f"{close}@1"
        return UserError(f"unknown measure {shown(name)}; did you mean {close!r}?")
    return UserError(f"unknown measure {shown(name)}; some that exist: {', '.join(names())}")


def _shown(name: str) -> tuple[int, ...]:
    return (1, 3) if name in ("top", "lift") else (1,)

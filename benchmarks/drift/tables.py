"""The figures as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from drift.steps import MEASURES, NAMES, Course, earlier

DIGITS = {"first": 2, "margin": 2}


def markdown(found: Sequence[Course], requests: int, random: int, name: str) -> str:
    """By step over all attacks; each attack's first steps by two criteria; which comes first."""
    targets = len({one.attack.target for one in found})
    return "\n\n".join(
        [
            f"Run `{name}`: {len(found)} attacks on {targets} listings, {requests} held-out requests. Means over "
            f"attacks and requests; random: {random} texts of random tokens of the same length a listing.",
            by_step(found),
            "The first step at which each leaves its noise band: further above the clean listing than any random text "
            "moves it, up or down (– never). Last column: the first step at which any request's rank is another.",
            first_steps(found, Course.left, changed=True),
            "The first step whose gain has a 95 % interval above 0 (bootstrap over requests, each with itself clean):",
            first_steps(found, Course.shown, changed=False),
            summary(found),
        ]
    )


def by_step(found: Sequence[Course]) -> str:
    """A row a step; the clean listing and random text first."""
    lines = [f"| | {' | '.join(NAMES[measure] for measure in MEASURES)} |", "|---|" + "---|" * len(MEASURES)]
    for name in ("clean", "random"):
        cells = [
            _number(measure, np.mean([getattr(one.bands[measure], name) for one in found]))
            for measure in MEASURES
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for step in range(min(len(one.attack.texts) for one in found)):
        cells = [
            _number(measure, np.mean([one.means(measure)[step] for one in found])) for measure in MEASURES
        ]
        lines.append(f"| step {step} | {' | '.join(cells)} |")
    return "\n".join(lines)


def first_steps(found: Sequence[Course], pick: Callable[[Course, str], int | None], *, changed: bool) -> str:
    """A row an attack."""
    heads = [*(NAMES[measure] for measure in MEASURES), *["rank, any change"] * changed]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for one in found:
        cells = [_step(pick(one, measure)) for measure in MEASURES]
        cells += [_step(one.changed)] * changed
        lines.append(f"| {one.attack.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def summary(found: Sequence[Course]) -> str:
    """Which moves first, counted."""
    parts = []
    for how, pick in (("noise band", Course.left), ("interval", Course.shown)):
        for early in ("reach", "reach, plain", "margin"):
            counts = earlier((pick(one, early), pick(one, "rank")) for one in found)
            parts.append(f"| {NAMES[early]}, by {how} | {' | '.join(map(str, counts))} |")
    head = f"Before, with and after the mean rank by the same criterion, of {len(found)} attacks:"
    return "\n".join([head, "", "| | before | with | after |", "|---|---|---|---|", *parts])


def _step(step: int | None) -> str:
    return "–" if step is None else str(step)


def _number(measure: str, value: float) -> str:
    if measure == "rank":
        return f"{-value:.2f}"
    sign = "+" if measure == "margin" else ""
    return f"{value:{sign}.{DIGITS.get(measure, 4)}f}"

"""The figures as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from drift.steps import MEASURES, NAMES, Course, earlier

DIGITS = {"rank": 2, "first": 2, "margin": 2}


def markdown(found: Sequence[Course], requests: int, random: int, name: str) -> str:
    """By step over all attacks; each attack's first steps; which comes first."""
    targets = len({one.attack.target for one in found})
    return "\n\n".join(
        [
            f"Run `{name}`: {len(found)} attacks on {targets} listings, {requests} held-out requests. Means over "
            f"attacks and requests; `random`: {random} random texts of the same length a listing.",
            by_step(found),
            "The first step at which each is better for the attacker than the clean listing and every random text "
            "(noise band; – never), and the first at which the mean rank is another than the clean one:",
            first_steps(found),
            summary(found),
        ]
    )


def by_step(found: Sequence[Course]) -> str:
    """A row a step; the clean listing and random text first."""
    lines = [f"| | {' | '.join(NAMES[measure] for measure in MEASURES)} |", "|---|" + "---|" * len(MEASURES)]
    for name, field in (("clean", "clean"), ("random", "random")):
        cells = [
            _number(measure, np.mean([getattr(one.bands[measure], field) for one in found]))
            for measure in MEASURES
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for step in range(min(len(one.attack.texts) for one in found)):
        cells = [
            _number(measure, np.mean([one.values[measure][step] for one in found])) for measure in MEASURES
        ]
        lines.append(f"| step {step} | {' | '.join(cells)} |")
    return "\n".join(lines)


def first_steps(found: Sequence[Course]) -> str:
    """A row an attack."""
    lines = [
        f"| | {' | '.join(NAMES[measure] for measure in MEASURES)} | rank, any change |",
        "|---|" + "---|" * (len(MEASURES) + 1),
    ]
    for one in found:
        cells = [_step(one.left(measure)) for measure in MEASURES]
        lines.append(f"| {one.attack.name} | {' | '.join(cells)} | {_step(one.changed)} |")
    return "\n".join(lines)


def summary(found: Sequence[Course]) -> str:
    """Which leaves its band first, counted."""
    parts = []
    for early in ("reach", "reach, plain", "margin"):
        before, same, after = earlier(list(found), early, lambda one: one.left("rank"))
        parts.append(f"{NAMES[early]} {before} / {same} / {after}")
    return (
        f"Before / with / after the mean rank leaves its band, of {len(found)} attacks: {'; '.join(parts)}."
    )


def _step(step: int | None) -> str:
    return "–" if step is None else str(step)


def _number(measure: str, value: float) -> str:
    sign = "+" if measure == "margin" else ""
    return f"{value:{sign}.{DIGITS.get(measure, 4)}f}"

"""What an audit holds against a listing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from testbed.errors import listed, shown

MASKED = "masked-field"
"""Rule of findings that come from leaving a field out; those of detectors are `detector/NAME`."""

Level = Literal["warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason to look at a listing. `field` is '' where it is about the whole listing."""

    rule: str
    level: Level
    item: str
    field: str
    message: str
    value: float
    threshold: float

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "rule": self.rule,
            "level": self.level,
            "item": self.item,
            "field": self.field or None,
            "message": self.message,
            "value": finite(self.value),
            "threshold": finite(self.threshold),
        }


@dataclass(frozen=True, slots=True)
class Hidden:
    """Listings that a detector lets pass because other listings of the catalog set its threshold.

    `by`: those others, item → score. `use`: what the detector is called in a scenario.
    """

    detector: str
    use: str
    items: tuple[str, ...]
    by: Mapping[str, float]

    @property
    def message(self) -> str:
        """What to know, and the ways out."""
        others = listed((f"{shown(item)} ({score:.3g})" for item, score in self.by.items()), 5)
        return (
            f"{self.detector} would flag {listed(map(shown, self.items), 5)} but for listings of this same catalog, "
            f"whose scores are the threshold: {others}; look at these first, or leave the catalog out of the "
            f"calibration: --detect '{{use: {self.use}, own: false}}'"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        by = [{"item": item, "score": finite(score)} for item, score in self.by.items()]
        return {"detector": self.detector, "hidden": list(self.items), "by": by, "message": self.message}


def finite(value: float) -> float | None:
    """A number as JSON has it: six decimals; None for infinity, a threshold that nothing passes."""
    return round(value, 6) if math.isfinite(value) else None

"""What an audit holds against a listing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

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


def finite(value: float) -> float | None:
    """A number as JSON has it: six decimals; None for infinity, a threshold that nothing passes."""
    return round(value, 6) if math.isfinite(value) else None

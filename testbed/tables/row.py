"""One row of tables.json."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from testbed.statistics import CONSTANT, Interval, TestResult

MEAN, BEST = "mean", "best_of_validation"
PLACES = ("source", "victim")
"""Fields that only rows of the section `transfer` have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An estimate with its place in the table; every field is described in docs/schemas.md."""

    section: str
    measure: str
    target: str
    arm: str
    against: str | None = None
    selection: str = MEAN
    estimate: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    blocks: int = 0
    over: tuple[str, ...] = ()
    p: float | None = None
    p_min: float | None = None
    p_holm: float | None = None
    method: str = ""
    test: str = ""
    note: str = ""
    source: str | None = None
    victim: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The row as plain JSON values, numbers to six significant digits; source and victim where they are told."""
        told = {name: plain(value) for name, value in asdict(self).items()}
        return {name: value for name, value in told.items() if value is not None or name not in PLACES}


def plain(value: Any) -> Any:
    """JSON values, recursively: floats to six significant digits, not finite → None, tuples as lists."""
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") + 0.0 if math.isfinite(value) else None
    return value


def signed(value: float, digits: int) -> str:
    """`+0.123`; one digit more where rounding would make 0 of what is none, so that a side of 0 is not lost."""
    text = f"{value:+.{digits}f}"
    if text.strip("+-0."):
        return text
    closer = f"{value:+.{digits + 1}f}"
    return closer if closer.strip("+-0.") else f"{0.0:+.{digits}f}"


def same(row: Mapping[str, Any]) -> str:
    """`in every pair` (`in every ranking` of a level) where a row has no interval because nothing varied; else ''."""
    if row.get("method") != CONSTANT:
        return ""
    return "in every pair" if row.get("against") or "base_value" in row else "in every ranking"


def whose_p(rows: Iterable[Mapping[str, Any]]) -> str:
    """A sentence on whom p speaks of, where it stands beside an interval that generalises over targets; else ''."""
    if any(row.get("p") is not None and "targets" in (row.get("over") or ()) for row in rows):
        return "p is for these targets; an interval over all of them is for others like them, and may well be wider."
    return ""


def interval_fields(interval: Interval, test: TestResult | None = None) -> dict[str, Any]:
    """The fields of a row that come from an interval and a test."""
    fields: dict[str, Any] = {
        "estimate": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "n": interval.n,
        "blocks": interval.blocks,
        "over": interval.over,
        "method": interval.method,
    }
    if test is not None:
        fields |= {"p": test.p, "p_min": test.p_min, "test": test.method}
    return fields

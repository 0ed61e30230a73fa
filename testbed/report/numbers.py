"""Numbers as they stand in the report: changes of shares in points, shares in per cent, intervals in brackets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from testbed.tables.row import same

Unit = Literal["points", "share", "value", "count"]
SHARES = ("top@", "lift@", "violation", "survives:", "first:")
SHARE_NAMES = {"promoted", "demoted", "unchanged", "net", "entered", "dropped", "listed", "settled_first"}
NONE = "–"


def unit_of(row: Mapping[str, Any]) -> Unit:
    """How the estimate of a row of tables.json reads."""
    measure = str(row.get("measure", ""))
    if row.get("section") == "cost" or measure == "settle_step":
        return "count"
    if measure.startswith(SHARES) or measure in SHARE_NAMES or measure == "position_bias":
        change = row.get("against") is not None and measure not in ("promoted", "demoted", "unchanged")
        return "points" if change else "share"
    return "value"


def number(
    value: float | None, unit: Unit = "value", *, sign: bool | None = None, digits: int | None = None
) -> str:
    """`+43`, `53`, `0.652` or `1,200`: points and per cent without their unit; a real minus sign.

    One digit more where rounding would make 0 of what is none.
    """
    if value is None:
        return NONE
    signed = unit == "points" if sign is None else sign
    if unit in ("points", "share"):
        value *= 100
        digits = 1 if 0.05 <= abs(value) < 0.95 else 0
    elif unit == "count":
        digits = 0 if abs(value) >= 100 or value == int(value) else 1
    else:
        digits = digits if digits is not None else 3 if abs(value) < 10 else 1
        digits += 0.5 * 10 ** -(digits + 1) <= abs(value) < 0.5 * 10**-digits
    text = f"{value:{'+' if signed else ''},.{digits}f}"
    if not text.strip("+-0."):
        text = text.lstrip("+-")
    return text.replace("-", "\u2212")


def bracket(row: Mapping[str, Any] | None, unit: Unit = "value", *, sign: bool | None = None) -> str:
    """`[+20, +70]`, or '' without an interval."""
    if row is None or row.get("low") is None or row.get("high") is None:
        return ""
    return f"[{number(row['low'], unit, sign=sign)}, {number(row['high'], unit, sign=sign)}]"


def with_interval(row: Mapping[str, Any] | None, unit: Unit = "value", *, sign: bool | None = None) -> str:
    """`+43 [+20, +70]`; `0.000 in every pair` without an interval because nothing varied."""
    if row is None:
        return NONE
    beside = bracket(row, unit, sign=sign) or same(row)
    return f"{number(row['estimate'], unit, sign=sign)} {beside}".strip()


def probability(p: float | None) -> str:
    """A p value: `0.031`, `< 0.001`."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count(amount: int, noun: str) -> str:
    """`1 pair`, `240 pairs`."""
    return f"{number(amount, 'count')} {noun}{'' if amount == 1 else 's'}"

"""Grades from facts: one rule for every catalog, so that ranking quality can be measured without annotators.

The rule. An item that breaks a hard constraint of the request has grade 0; so has one that lacks the
constrained attribute. Let E be the n items that are left. Each preference gives every item of E points
from 0 to 2(n - 1):

- `high` or `low` on a number: 2 × (items of E that are strictly worse) + (other items of E that are equal),
  the mid-rank percentile times 2(n - 1). An item without the attribute is worse than all and gets 0.
- a wish such as `tags contains waterproof` or `wireless == true`: 2(n - 1) when it holds, else 0.

The points of all preferences are added (one that stands twice counts twice) and stretched over E: the
best item gets 1 and the worst 0. Grade 3 from two thirds upwards, grade 2 from one third, grade 1 below.
When all items of E have the same sum (one item left, or no preference), all have grade 3. Sums are whole
numbers and the comparison is exact, so equal items have equal grades on every machine.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from testbed.types import Attribute, Constraint

Facts = Mapping[str, Attribute]
TOP = 3


@dataclass(frozen=True, slots=True)
class Extreme:
    """A preference for much or little of a number: the rating `high`, the price `low`."""

    attribute: str
    wanted: Literal["high", "low"]


Preference = Extreme | Constraint
"""A soft wish; a `Constraint` used softly is fulfilled or not."""


def grade(
    items: Sequence[Facts], constraints: Sequence[Constraint], preferences: Sequence[Preference]
) -> list[int]:
    """Grade 0 to 3 of each item for one request, by the module's rule: (items,) → (items,)."""
    grades = [0] * len(items)
    rows = [row for row, facts in enumerate(items) if all(wish.holds(facts) for wish in constraints)]
    if not rows:
        return grades
    eligible = [items[row] for row in rows]
    sums = [0] * len(rows)
    for preference in preferences:
        sums = [have + more for have, more in zip(sums, points(eligible, preference), strict=True)]
    worst, span = min(sums), max(sums) - min(sums)
    for row, total in zip(rows, sums, strict=True):
        stretched = 3 * (total - worst)
        grades[row] = TOP if stretched >= 2 * span else 2 if stretched >= span else 1
    return grades


def points(items: Sequence[Facts], preference: Preference) -> list[int]:
    """Points from 0 to 2(n - 1) that one preference gives each of n items: (n,) → (n,)."""
    if isinstance(preference, Constraint):
        full = 2 * (len(items) - 1)
        return [full if preference.holds(facts) else 0 for facts in items]
    sign = 1 if preference.wanted == "high" else -1
    values = [
        None if (have := facts.get(preference.attribute)) is None else sign * float(have) for facts in items
    ]
    known = sorted(value for value in values if value is not None)
    missing = len(values) - len(known)
    given = []
    for value in values:
        if value is None:
            given.append(0)
            continue
        below, upto = bisect_left(known, value), bisect_right(known, value)
        given.append(2 * (missing + below) + (upto - below - 1))
    return given

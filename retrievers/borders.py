"""Where an edit stands in a field, and among the tokens of a text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from testbed.language import common_prefix
from testbed.types import Place

PROBES = ("*", "x", "the", "!", "1")
"""Neutral texts that show where the tokens of an edit begin and end."""


def borders(seen: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """Tokens before and after the hole, from the tokens of one text with each of `PROBES` in it.

    A probe that merges with its surroundings shows less of them, so the most that any two show counts.
    """
    pairs = [(list(one), list(other)) for one, other in combinations(seen, 2)]
    before = max((one[: common_prefix(one, other)] for one, other in pairs), key=len)
    behind = max((one[::-1][: common_prefix(one[::-1], other[::-1])] for one, other in pairs), key=len)
    return before, behind[::-1]


def written(clean: str, shown: str, place: Place) -> str:
    """The text of an edit, from a field as the catalog has it and as it is shown."""
    match place:
        case "append":
            return shown[len(clean) + 1 :] if clean else shown
        case "prepend":
            return shown[: len(shown) - len(clean) - 1] if clean else shown
        case "replace":
            return shown

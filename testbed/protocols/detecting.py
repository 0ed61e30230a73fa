"""Stages that say of a listing alone whether it looks manipulated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from testbed.types import Listing


class Verdict(NamedTuple):
    """What a detector says of one listing: a higher score is more suspicious. `note`: why, in words.

    `hidden_by`: the item whose listing scores `threshold`, where this one would be flagged if the catalog's own
    listings had no part in it; '' where it makes no difference.
    """

    score: float
    threshold: float
    flagged: bool
    note: str = ""
    hidden_by: str = ""


@runtime_checkable
class Detecting(Protocol):
    """A stage that can tell a suspicious listing by its fields alone, without a request (`testbed audit`)."""

    def verdicts(self, listings: Sequence[Listing]) -> Sequence[Verdict]:
        """One verdict a listing, in their order."""

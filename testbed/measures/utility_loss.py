"""What the user loses."""

from __future__ import annotations

from testbed.measures.base import Change
from testbed.measures.quality import quality


def utility_loss(k: int = 10) -> Change:
    """utility_loss@k: nDCG@k of the whole ranking, target included, before − after. `utility_loss` is at 10.

    Negative when promoting the target serves the request.
    """
    name = "utility_loss" if k == 10 else f"utility_loss@{k}"
    return Change(name, "harm", (-1, 1), False, quality(f"nDCG@{k}"), -1)

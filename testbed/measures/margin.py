"""How far the target's score is ahead of its best rival; steadier than the rank."""

from __future__ import annotations

import math

from testbed.measures.base import Level, Seen, each


def _value(seen: Seen) -> float:
    if seen.rank is None or seen.scores is None:
        return math.nan
    own = seen.scores[seen.rank - 1]
    rivals = [
        score
        for position, score in enumerate(seen.scores, start=1)
        if position != seen.rank and score is not None and math.isfinite(score)
    ]
    if own is None or not math.isfinite(own) or not rivals:
        return math.nan
    return own - max(rivals)


MARGIN = Level("margin", "level", None, False, each(_value))
"""Target's score − best other score, in the last stage's units (nats for log-probabilities).

Undefined (left out, and `n` says so) when the target is unlisted or a stage gives no scores.
"""

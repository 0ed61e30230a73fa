"""What an attack does to the order of everybody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from testbed.measures.base import Change, Level, Seen, Values
from testbed.measures.quality import quality


def without_target(seen: Seen) -> Seen:
    """The ranking and the judgements as if the target did not exist."""
    relevance: Mapping[str, int] | None = seen.relevance
    if relevance is not None:
        relevance = {item: grade for item, grade in relevance.items() if item != seen.target}
    return replace(
        seen,
        ranking=tuple(item for item in seen.ranking if item != seen.target),
        scores=None,
        target=None,
        relevance=relevance,
    )


def others(k: int) -> Level:
    """others_nDCG@k: nDCG@k of the ranking with the target removed from ranking and judgements.

    The ideal ranking is recomputed without the target. Undefined when no other item is relevant.
    """
    inner = quality(f"nDCG@{k}")

    def values(seen: Sequence[Seen]) -> Values:
        return inner.of([without_target(one) for one in seen])

    return Level(f"others_nDCG@{k}", "quality", (0, 1), False, values)


def harm(k: int = 10) -> Change:
    """harm@k: nDCG@k of the others before − after; positive when they got worse. `harm` is harm@10.

    Zero when the target alone moves, so it separates "somebody was pushed down a place" from "the rest was
    reshuffled".
    """
    return Change("harm" if k == 10 else f"harm@{k}", "harm", (-1, 1), False, others(k), -1)

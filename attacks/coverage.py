"""Which pieces of text to write where room is short: greedy coverage of what is looked for, pieces overlapping."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Words = tuple[str, ...]
By = Literal["rate", "gain"]
LEAST = 1e-9
"""A gain below this is none."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What is looked for on one request: different sequences of words with their weights, heaviest first.

    `summed`: whether those that a text holds add up, where they do not overlap; otherwise the heaviest counts alone.
    """

    pieces: tuple[tuple[Words, float], ...]
    summed: bool = True

    def met(self, words: Words) -> float:
        """How much of it a text meets. Each piece counts once, the heavier first, where no other one stands."""
        taken: set[int] = set()
        total = 0.0
        for piece, weight in self.pieces:
            for start in places(words, piece):
                span = range(start, start + len(piece))
                if taken.isdisjoint(span):
                    taken.update(span)
                    total += weight
                    break
            if total and not self.summed:
                break
        return total


def places(words: Words, piece: Words) -> Iterator[int]:
    """Where a sequence of words begins in another."""
    return (
        start
        for start in range(len(words) - len(piece) + 1)
        if words[start] == piece[0] and words[start : start + len(piece)] == piece
    )


def joined(words: Words, piece: Words) -> Words:
    """The shortest text that has the words in a row and the piece: end and beginning may share words.

    The piece goes behind the words unless it saves more before them.
    """
    if any(True for _ in places(words, piece)):
        return words
    behind, before = _shared(words, piece), _shared(piece, words)
    return (*words, *piece[behind:]) if behind >= before else (*piece, *words[before:])


def _shared(first: Words, second: Words) -> int:
    """How many words at the end of one are those at the beginning of the other."""
    most = min(len(first), len(second))
    return next(size for size in range(most, -1, -1) if first[len(first) - size :] == second[:size])


def texts(
    demands: Sequence[Demand],
    room: int,
    by: By,
    begin: Words = (),
    accept: Callable[[str], bool] = bool,
) -> Iterator[Words]:
    """Texts that grow by a piece at a time, the best one first, up to `room` words; `begin` stays in a row.

    The best piece is that with which the demands are met the most: by `rate`, for each word that it takes; by `gain`,
    whatever it takes. The better of the two meets at least (1 − 1/e) / 2 of what can be met where pieces neither
    share words nor stand in each other's way (Leskovec et al. 2007, "Cost-effective outbreak detection", theorem 3).
    """
    pieces = list(dict.fromkeys(piece for demand in demands for piece, _ in demand.pieces))
    words = begin
    now = sum(demand.met(words) for demand in demands)
    while True:
        best: tuple[float, float, Words] | None = None
        for piece in pieces:
            grown = joined(words, piece)
            longer = len(grown) - len(words)
            if not longer or len(grown) > room or not accept(" ".join(grown)):
                continue
            met = sum(demand.met(grown) for demand in demands)
            worth = (met - now) / (longer if by == "rate" else 1)
            if met - now > LEAST and (best is None or worth > best[0]):
                best = worth, met, grown
        if best is None:
            return
        _, now, words = best
        yield words

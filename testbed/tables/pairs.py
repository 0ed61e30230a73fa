"""Which ranking is compared with which: pairs of one situation under two arms, laid out in cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from testbed.measures import Change, Level, Measure, Paired, Seen
from testbed.measures.base import Values
from testbed.statistics import Cells, Layout
from testbed.tables.run import Block, Index, Run


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows of records paired by situation. `before` is empty when single rankings are meant.

    `place`: per pair (block, request, order) in the layout. Pairs of several replicates share a place and are
    averaged.
    """

    layout: Layout
    after: Sequence[int]
    before: Sequence[int]
    place: Sequence[tuple[int, int, int]]

    def cells(self, values: Values) -> Cells:
        """(A, Q, O) cells of one value per pair; nan values are gaps."""
        total, count = np.zeros(self.layout.shape), np.zeros(self.layout.shape)
        keep = ~np.isnan(values)
        if keep.any():
            where = tuple(np.asarray(self.place)[keep].T)
            np.add.at(total, where, values[keep])
            np.add.at(count, where, 1)
        with np.errstate(invalid="ignore"):
            return Cells(np.where(count > 0, total / np.maximum(count, 1), np.nan), self.layout.targets)

    def blocks(self, chosen: Sequence[Block]) -> list[int]:
        """Positions of some blocks in the layout."""
        wanted = set(chosen)
        return [row for row, block in enumerate(self.layout.blocks) if block in wanted]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Values of measures for all rankings of a split, each computed once."""

    run: Run
    index: Index
    _levels: dict[str, Values] = field(default_factory=dict)

    @cached_property
    def seen(self) -> list[Seen]:
        """The rankings, row by row of the index."""
        return self.run.seen(self.index.records)

    def level(self, level: Level) -> Values:
        """(n,) one value per ranking."""
        if level.name not in self._levels:
            self._levels[level.name] = level.of(self.seen)
        return self._levels[level.name]

    def effect(self, measure: Measure, pairs: Pairs) -> Values:
        """(pairs,) values of a measure: level differences, or the paired value itself."""
        match measure:
            case Change():
                return measure.sign * self.effect(measure.level, pairs)
            case Level():
                values = self.level(measure)
                return np.asarray(values[list(pairs.after)] - values[list(pairs.before)])
            case Paired():
                before = [self.seen[row] for row in pairs.before]
                return measure.effect(before, [self.seen[row] for row in pairs.after])
            case _:
                raise TypeError(f"{measure!r} is not a measure of pairs")


def single(index: Index, targets: Sequence[str], arm: str) -> Pairs:
    """All rankings of an arm, by block."""
    return _laid_out(
        index, [(target, seed) for target in targets for seed in index.seeds(target, arm)], arm, None
    )


def paired(index: Index, targets: Sequence[str], arm: str, against: str) -> Pairs:
    """Rankings of two arms in the same situation; an arm without seeds meets every seed of the other."""
    blocks: list[Block] = []
    for target in targets:
        own, other = index.seeds(target, arm), index.seeds(target, against)
        seeds = own if other == (None,) else other if own == (None,) else [s for s in own if s in other]
        blocks += [(target, seed) for seed in seeds if own and other]
    return _laid_out(index, blocks, arm, against)


def _laid_out(index: Index, blocks: Sequence[Block], arm: str, against: str | None) -> Pairs:
    found: list[tuple[int, int, int, tuple[str, int]]] = []
    for position, (target, seed) in enumerate(blocks):
        own = _rows(index, target, arm, seed)
        other = _rows(index, target, against, seed) if against is not None else own
        for situation, replicates in own.items():
            partners = other.get(situation)
            if partners:
                for replicate, row in sorted(replicates.items()):
                    found.append((position, row, partners.get(replicate, min(partners.values())), situation))
    layout = Layout.of(blocks, [situation for *_, situation in found])
    requests = {request: position for position, request in enumerate(layout.requests)}
    return Pairs(
        layout,
        [after for _, after, _, _ in found],
        [before for _, _, before, _ in found] if against is not None else [],
        [
            (position, requests[situation[0]], layout.order_index[situation])
            for position, _, _, situation in found
        ],
    )


def _rows(
    index: Index, target: str, arm: str, seed: int | None
) -> Mapping[tuple[str, int], Mapping[int, int]]:
    found = index.rows.get((target, arm, seed))
    return found if found is not None else index.rows.get((target, arm, None), {})

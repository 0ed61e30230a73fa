"""Rows of order sensitivity, kept apart from the gain of an attack."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from testbed.measures.order import POSITION_BIAS, RANK_VARIANCE, position_bias, rank_variance, winning_slots
from testbed.records import EvaluationRecord
from testbed.statistics import clopper_pearson
from testbed.tables.row import Row
from testbed.tables.run import ALL, CLEAN, Run

UNORDERED = "every request was shown in one order only"


def order_rows(run: Run) -> Iterator[Row]:
    """Position bias and variance of the rank over orders, of the clean arm, pooled and per target."""
    clean = [record for record in run.tests if record.arm == CLEAN]
    for target in (ALL, *run.targets):
        records = [record for record in clean if target in (ALL, record.target)]
        if not records:
            continue
        varied = _orders_vary(records)
        slots = winning_slots([one.ranking for one in records], [one.pool for one in records])
        yield Row(
            section="order",
            measure=POSITION_BIAS.name,
            target=target,
            arm=CLEAN,
            estimate=position_bias(slots) if varied else None,
            n=len(slots),
            note="" if varied else UNORDERED,
        )
        ranks: defaultdict[tuple[str | None, str], list[int | None]] = defaultdict(list)
        for record in records:
            if record.target is not None:
                ranks[record.target, record.request].append(_rank(record))
        listed = sum(rank is not None for group in ranks.values() for rank in group)
        if ranks:
            yield Row(
                section="order",
                measure=RANK_VARIANCE.name,
                target=target,
                arm=CLEAN,
                estimate=rank_variance(list(ranks.values())),
                n=listed,
                note=""
                if listed == len(records)
                else f"{len(records) - listed} rankings without the target left out",
            )


def slots(run: Run) -> list[dict[str, Any]]:
    """P(target first) by the slot it was shown in, clean arm; rankings taken for independent."""
    counts: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for record in run.tests:
        if record.arm == CLEAN and record.target in record.pool:
            slot = record.pool.index(str(record.target))
            counts[str(record.target), slot].append(int(_rank(record) == 1))
    found = []
    for target in run.targets:
        for (owner, slot), firsts in sorted(counts.items()):
            if owner == target:
                low, high = clopper_pearson(sum(firsts), len(firsts))
                rate = sum(firsts) / len(firsts)
                found.append(
                    {
                        "target": target,
                        "slot": slot,
                        "n": len(firsts),
                        "first": rate,
                        "low": low,
                        "high": high,
                    }
                )
    return found


def _rank(record: EvaluationRecord) -> int | None:
    return record.ranking.index(record.target) + 1 if record.target in record.ranking else None


def _orders_vary(records: Sequence[EvaluationRecord]) -> bool:
    shown: defaultdict[tuple[str | None, str], set[tuple[str, ...]]] = defaultdict(set)
    for record in records:
        shown[record.target, record.request].add(record.pool)
    return any(len(pools) > 1 for pools in shown.values())

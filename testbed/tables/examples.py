"""What a reader wants to see: the texts, one situation before and after, and how the search went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from testbed.records import AttackRecord, EvaluationRecord
from testbed.tables.pairs import Outcomes, paired
from testbed.tables.run import ATTACK, CLEAN, Run

MOST_SHOWN = 10
MOST_POINTS = 200
Traces = Mapping[tuple[str, int], Sequence[Mapping[str, Any]]]
"""(target, seed) → lines of the trace, one a step."""


def examples(outcomes: Outcomes, best: Mapping[str, int | None]) -> list[dict[str, Any]]:
    """Per attack: its text and the situation whose change of rank is the median; none is picked."""
    return [
        _example(outcomes, attack, best.get(attack.target) == attack.seed) for attack in outcomes.run.attacks
    ]


def convergence(run: Run, traces: Traces) -> list[dict[str, Any]]:
    """Objective by step per attack, at most 200 points each; `best` is the lowest so far."""
    found = []
    for attack in run.attacks:
        lines = [
            line
            for line in traces.get((attack.target, attack.seed), ())
            if _number(line.get("step")) is not None
        ]
        keep = _spread(len(lines))
        found.append(
            {
                "target": attack.target,
                "seed": attack.seed,
                "steps": [lines[row]["step"] for row in keep],
                "objective": [_number(lines[row].get("objective")) for row in keep],
                "best": [_number(lines[row].get("best")) for row in keep],
                "initial": attack.initial_objective,
                "stopped": attack.stopped,
                "settled": attack.best_step,
            }
        )
    return found


def _example(outcomes: Outcomes, attack: AttackRecord, chosen: bool) -> dict[str, Any]:
    run, records = outcomes.run, outcomes.index.records
    found: dict[str, Any] = {
        "target": attack.target,
        "name": run.name_of(attack.target),
        "field": attack.field,
        "place": attack.place,
        "seed": attack.seed,
        "best_of_validation": chosen,
        "text": attack.text,
        "history": [
            {"item": edit.item_id, "name": run.name_of(edit.item_id), "age": edit.age}
            for edit in attack.history
        ],
        "status": attack.status,
        "note": attack.note,
        "situation": None,
    }
    pairs = paired(outcomes.index, [attack.target], ATTACK, CLEAN)
    rows = [
        (after, before)
        for after, before in zip(pairs.after, pairs.before, strict=True)
        if records[after].seed == attack.seed
    ]
    if not rows:
        return found
    rows.sort(key=lambda pair: _change(records[pair[1]], records[pair[0]]))
    after, before = (records[row] for row in rows[(len(rows) - 1) // 2])
    found["situation"] = {
        "request": after.request,
        "request_text": str(run.section("requests").get(after.request, "")),
        "order": after.order,
        "slot": after.slot,
        "clean": _listing(run, before),
        "attacked": _listing(run, after),
        "rank_clean": _rank(before),
        "rank_attacked": _rank(after),
        "chosen_by": "median change of rank over the test situations",
    }
    return found


def _listing(run: Run, record: EvaluationRecord) -> list[dict[str, Any]]:
    scores = record.scores or (None,) * len(record.ranking)
    shown = list(zip(record.ranking, scores, strict=True))[:MOST_SHOWN]
    return [{"item": item, "name": run.name_of(item), "score": score} for item, score in shown]


def _change(before: EvaluationRecord, after: EvaluationRecord) -> float:
    """Places won; unlisted stands one place below the longest list seen, for sorting only."""
    last = 1 + max(len(before.ranking), len(after.ranking))
    return (_rank(before) or last) - (_rank(after) or last)


def _rank(record: EvaluationRecord) -> int | None:
    return record.ranking.index(record.target) + 1 if record.target in record.ranking else None


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _spread(count: int) -> list[int]:
    """At most 200 rows, first and last among them."""
    if count <= MOST_POINTS:
        return list(range(count))
    return sorted({round(point * (count - 1) / (MOST_POINTS - 1)) for point in range(MOST_POINTS)})

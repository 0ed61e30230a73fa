"""What lies under an effect: probability mass on every listing, how sure the reader is, and step by step.

Masses are the softmax of the last stage's scores over what it ranked: probabilities where the scores are
log-probabilities (the likelihood reading, a sequential recommender), shares of the same form elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from testbed.measures.base import Values
from testbed.records import EvaluationRecord
from testbed.tables.effects import tested
from testbed.tables.pairs import Outcomes, Pairs, paired
from testbed.tables.run import ALL, ATTACK, CLEAN

MOST_ITEMS = 12


def diagnostics(outcomes: Outcomes) -> dict[str, Any]:
    """`confidence`, `mass` and `steps` (docs/schemas.md); each empty where records do not tell."""
    run = outcomes.run
    if CLEAN not in run.arms or not run.targets:
        return {"confidence": [], "mass": [], "steps": []}
    return {
        "confidence": list(_confidence(outcomes)),
        "mass": list(_mass(outcomes)),
        "steps": list(_steps(outcomes)),
    }


def masses(record: EvaluationRecord) -> dict[str, float]:
    """Item → its share of the softmax over the ranked listings; empty without scores of all of them."""
    if not record.scores or any(score is None for score in record.scores):
        return {}
    scores = np.array(record.scores, dtype=np.float64)
    shares = np.exp(scores - scores.max())
    return dict(zip(record.ranking, (shares / shares.sum()).tolist(), strict=True))


def _confidence(outcomes: Outcomes) -> Iterator[dict[str, Any]]:
    """How sure the reader is, before and after: entropy over listings, and the loss of its own first choice."""
    records = outcomes.index.records
    shares = [masses(record) for record in records]
    quantities = {
        "entropy": [_entropy(list(one.values())) for one in shares],
        "greedy_nll": _greedy(records),
        "target_mass": [
            one.get(record.target or "", 0.0) if one else np.nan
            for one, record in zip(shares, records, strict=True)
        ],
    }
    for arm in [arm for arm, against in outcomes.run.contrasts if against == CLEAN]:
        for name, values in quantities.items():
            for target in (ALL, *outcomes.run.targets):
                row = _shift(
                    outcomes, np.array(values, dtype=np.float64), arm, target, f"{name}/{arm}/{target}"
                )
                if row is not None:
                    yield {"quantity": name, "arm": arm, "target": target, **row}


def _mass(outcomes: Outcomes) -> Iterator[dict[str, Any]]:
    """Mass on the target and on each rival, clean and attacked; those that changed most."""
    if ATTACK not in outcomes.run.arms:
        return
    shares = [masses(record) for record in outcomes.index.records]
    for target in outcomes.run.targets:
        pairs = paired(outcomes.index, [target], ATTACK, CLEAN)
        items = dict.fromkeys(item for row in (*pairs.before, *pairs.after) for item in shares[row])
        values = {
            item: np.array([one.get(item, 0.0) if one else np.nan for one in shares], dtype=np.float64)
            for item in items
        }
        changes = {item: _mean(own, pairs) for item, own in values.items()}
        for item in sorted(items, key=lambda one: (-abs(changes[one]), one))[:MOST_ITEMS]:
            row = _shift(outcomes, values[item], ATTACK, target, f"mass/{target}/{item}")
            if row is not None:
                yield {"target": target, "item": item, "name": outcomes.run.name_of(item), **row}


def _steps(outcomes: Outcomes) -> Iterator[dict[str, Any]]:
    """Entropy and the target's share by reasoning step, of stages that tell them in the detail of their trace."""
    told = [_told(record) for record in outcomes.index.records]
    for stage in dict.fromkeys(stage for one in told for stage in one):
        count = max(len(one.get(stage, ())) for one in told)
        for arm in [arm for arm, against in outcomes.run.contrasts if against == CLEAN]:
            for step in range(count):
                for quantity in ("entropy", "share"):
                    values = [_at(one.get(stage, ()), step, quantity) for one in told]
                    name = f"step/{stage}/{step}/{quantity}/{arm}"
                    row = _shift(outcomes, np.array(values, dtype=np.float64), arm, ALL, name)
                    if row is not None:
                        yield {"stage": stage, "arm": arm, "step": step, "quantity": quantity, **row}


def _shift(outcomes: Outcomes, values: Values, arm: str, target: str, name: str) -> dict[str, Any] | None:
    """Mean before and after, their paired difference with interval, and a two-sided test; None without pairs."""
    run = outcomes.run
    pairs = paired(outcomes.index, run.targets if target == ALL else [target], arm, CLEAN)
    before, after = values[list(pairs.before)], values[list(pairs.after)]
    known = ~(np.isnan(before) | np.isnan(after))
    if not known.any():
        return None
    cells = pairs.cells(np.where(known, after - before, np.nan))
    interval = run.intervals.of(cells)
    test = tested(cells, False, run.rng, f"diagnostics/{name}")
    return {
        "before": float(before[known].mean()),
        "after": float(after[known].mean()),
        "change": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "n": interval.n,
        "p": test.p if test else None,
    }


def _mean(values: Values, pairs: Pairs) -> float:
    change = values[list(pairs.after)] - values[list(pairs.before)]
    known = change[~np.isnan(change)]
    return float(known.mean()) if len(known) else 0.0


def _entropy(shares: Sequence[float]) -> float:
    """Nats; nan without shares."""
    if not shares:
        return float("nan")
    own = np.array(shares)
    return float(-(own * np.log(own + 1e-300)).sum())


def _greedy(records: Sequence[EvaluationRecord]) -> list[float]:
    """Minus the log-probability of the first choice; nan everywhere unless all scores of the run can be such.

    That is, in no ranking do the probabilities that they stand for sum up to more than 1.
    """
    scores = [[score for score in record.scores or () if score is not None] for record in records]
    told = [own for own in scores if own]
    if any(max(own) > 0 or np.exp(own).sum() > 1 + 1e-6 for own in told):
        return [float("nan")] * len(records)
    return [-own[0] if own else float("nan") for own in scores]


def _told(record: EvaluationRecord) -> dict[str, Sequence[Any]]:
    """Stage → what it says of its steps."""
    found: dict[str, Sequence[Any]] = {}
    for stage in record.stages:
        steps = stage.detail.get("steps")
        if isinstance(steps, list | tuple):
            found[stage.stage] = steps
    return found


def _at(steps: Sequence[Any], step: int, quantity: str) -> float:
    value = steps[step].get(quantity) if step < len(steps) and isinstance(steps[step], Mapping) else None
    return float(value) if isinstance(value, int | float) else float("nan")

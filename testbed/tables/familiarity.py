"""Is a familiar name taken for an easy target? Effects by how likely a language model finds the target's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from testbed.measures import Change, parse
from testbed.statistics import Cells
from testbed.tables.effects import effect_bounds
from testbed.tables.pairs import Outcomes, paired
from testbed.tables.run import ATTACK, CLEAN, Index, Run

BINS = ("rare", "middle", "familiar")


def familiarity(run: Run, log_p: Mapping[str, float], measure: str = "lift@1") -> dict[str, Any]:
    """`targets`: log p(name), clean top rate and effect; `bins`: the same by thirds of log p(name); `rank_correlation`.

    `log_p`: target → log-probability of its name, nats a token. Fewer than three targets make no bins.
    """
    change = parse(measure)
    assert isinstance(change, Change)
    outcomes = Outcomes(run, Index(run.tests))
    pairs = paired(outcomes.index, run.targets, ATTACK, CLEAN)
    cells = pairs.cells(outcomes.effect(change, pairs))
    level = outcomes.level(change.level)
    owners = [block[0] for block in pairs.layout.blocks]
    named = sorted((target for target in run.targets if target in log_p), key=lambda target: log_p[target])

    def told(chosen: Sequence[str]) -> dict[str, Any]:
        rows = [place for place, owner in enumerate(owners) if owner in chosen]
        part = Cells(cells.values[rows], tuple(cells.targets[row] for row in rows))
        interval = run.intervals.of(part, effect_bounds(change), binary=change.binary)
        clean = [
            value
            for record, value in zip(outcomes.index.records, level.tolist(), strict=True)
            if record.arm == CLEAN and record.target in chosen
        ]
        return {
            "clean": float(np.mean(clean)) if clean else None,
            "estimate": interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "n": interval.n,
        }

    targets = [
        {"target": target, "name": run.name_of(target), "log_p": log_p[target], **told([target])}
        for target in named
    ]
    thirds = [list(map(str, part)) for part in np.array_split(np.array(named, dtype=object), len(BINS))]
    bins = [
        {"bin": name, "targets": part, "from": log_p[part[0]], "to": log_p[part[-1]], **told(part)}
        for name, part in zip(BINS, thirds, strict=True)
        if len(named) >= len(BINS)
    ]
    return {"measure": measure, "targets": targets, "bins": bins, "rank_correlation": _spearman(targets)}


def name_log_probs(model: Any, names: Mapping[str, str]) -> dict[str, float]:
    """Item → mean log-probability of its name's tokens and the line's end after `Product:`, nats a token."""
    from testbed.language import Prefix, Row

    trunk = tuple(model.encode("Product:"))
    branches = {item: tuple(model.encode(f" {name}\n")) for item, name in names.items()}
    rows = [Row(trunk, (branch,)) for branch in branches.values()]
    found = model.log_probs(Prefix(), rows)
    return {item: float(parts[0].mean()) for item, parts in zip(branches, found, strict=True)}


def _spearman(targets: Sequence[Mapping[str, Any]]) -> float | None:
    """Between log p(name) and effect; None with fewer than four targets, or where one of them is constant."""
    from scipy.stats import spearmanr

    known = [(one["log_p"], one["estimate"]) for one in targets if one["estimate"] is not None]
    if len(known) < 4 or len({effect for _, effect in known}) < 2 or len({log_p for log_p, _ in known}) < 2:
        return None
    return float(spearmanr([log_p for log_p, _ in known], [effect for _, effect in known]).statistic)

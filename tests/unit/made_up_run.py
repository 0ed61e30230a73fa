"""Records and a manifest of runs that never happened, for tests of tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from testbed.records import AttackRecord, EvaluationRecord, Record, StageRank

ITEMS = tuple("abcdefgh")
Ranker = Callable[[str, str, int | None, str, int, np.random.Generator], Sequence[str]]
"""(arm, target, seed, request, order, rng) → ranking."""


def lifted(
    arm: str, target: str, seed: int | None, request: str, order: int, rng: np.random.Generator
) -> list[str]:
    """Attacked targets are first four times in five; everything else is shuffled."""
    ranking = [str(item) for item in rng.permutation(ITEMS)]
    if arm == "attack" and rng.random() < 0.8:
        ranking.remove(target)
        ranking.insert(0, target)
    return ranking


def manifest(
    targets: Sequence[str] = ("a", "b"), requests: Sequence[str] = ("r0", "r1"), **more: Any
) -> dict[str, Any]:
    """A manifest that fits `records`."""
    return {
        "schema": 1,
        "name": "made-up",
        "scenario_hash": "3f9a1c",
        "state": "finished",
        "catalog": {"name": "letters", "fingerprint": "00", "items": len(ITEMS), "requests": len(requests)},
        "items": {item: item.upper() for item in ITEMS},
        "judgements": {request: {"a": 2, "c": 1, "d": 1} for request in requests},
        "constraints": {requests[0]: ["b"]} if requests else {},
        "requests": {request: f"text of {request}" for request in requests},
        "targets": {target: {"field": "Description", "place": "append"} for target in targets},
        "seeds": [0, 1],
        "arms": ["clean", "attack", "random_tokens", "honest_text"],
        "measures": ["nDCG@10", "RR", "lift@1", "lift@3", "promoted", "harm"],
        "stack": [{"name": "llm", "use": "llm", "inputs": ["source"], "options": {}, "deterministic": True}],
        "attack": {"use": "gcg"},
        "threat": {"access": "gradients", "field": "Description", "budget": {"steps": 40}},
        **more,
    }


def records(
    *,
    targets: Sequence[str] = ("a", "b"),
    seeds: Sequence[int] = (0, 1),
    requests: Sequence[str] = ("r0", "r1"),
    orders: Sequence[int] = tuple(range(10)),
    arms: Sequence[str] = ("clean", "attack", "random_tokens", "honest_text"),
    splits: Sequence[str] = ("validate", "test"),
    ranker: Ranker = lifted,
    rng_seed: int = 0,
    **more: Any,
) -> list[Record]:
    """A complete run; `more` overrides fields of every evaluation record."""
    rng = np.random.default_rng(rng_seed)
    found: list[Record] = [
        AttackRecord(
            key=f"attack/{target}/{seed}",
            target=target,
            field="Description",
            seed=seed,
            text=f"<b>text {target} {seed}</b>",
            initial_objective=4.0,
            objective=1.0 + seed,
            steps=40,
            best_step=20 + seed,
            stopped="steps",
            cost={"steps": 40, "queries": 400 + seed, "tokens": 1000},
        )
        for target in targets
        for seed in seeds
        if "attack" in arms
    ]
    for split in splits:
        for target in targets or (None,):
            for request in requests:
                for order in orders:
                    pool = tuple(str(item) for item in np.random.default_rng(order).permutation(ITEMS))
                    for arm in arms:
                        for seed in seeds if arm in ("attack", "random_tokens") else (None,):
                            ranking = tuple(ranker(arm, target or "a", seed, request, order, rng))
                            rank = ranking.index(target) + 1 if target in ranking else None
                            fields: dict[str, Any] = {
                                "ranking": ranking,
                                "scores": tuple(-float(place) for place in range(len(ranking))),
                                "pool": pool,
                                "stages": (StageRank("llm", 1, rank, len(pool)),),
                                "cost": {"queries": 1, "tokens": 100},
                                **more,
                            }
                            found.append(
                                EvaluationRecord(
                                    key=f"evaluate/{split}/{target}/{request}/{order}/{arm}/{seed}/0",
                                    split=split,  # type: ignore[arg-type]
                                    target=target,
                                    request=request,
                                    order=order,
                                    slot=None if target is None else pool.index(target),
                                    arm=arm,
                                    seed=seed,
                                    **fields,
                                )
                            )
    return found

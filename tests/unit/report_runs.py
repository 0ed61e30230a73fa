"""Run directories that never happened, for tests of the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from testbed.records import AttackRecord, EvaluationRecord, Record, StageRank, to_line

ITEMS = {
    "aurelia-grand": "Aurelia Grand",
    "swiftbrew-go": "SwiftBrew Go",
    "larkspur-twelve": "Larkspur Twelve",
    "pietra-moka": "Pietra Moka",
    "tundra-steep": "Tundra Steep",
    "orsino-latte": "Orsino Latte",
    "hearthline-press": "Hearthline Press",
    "brigantine-office": "Brigantine Office",
    "quernby-fresh": "Quernby Fresh",
    "fulcro-lever": "Fulcro Lever",
}
ARMS = ("clean", "attack", "random_tokens", "honest_text")
PULL = {"clean": 0.0, "attack": 2.6, "random_tokens": -0.3, "honest_text": 0.4}
HOSTILE = (
    '<script>alert("x")</script> "><img src=x onerror=alert(1)> ]]> --> {{ 7*7 }} $\\alpha$ '
    "\u202egnp.exe\u202c \u200bzero\x07"
)
STACK = [
    {"name": "bm25", "use": "bm25", "inputs": ["source"], "options": {"keep": 6}, "deterministic": True},
    {
        "name": "dense",
        "use": "dense",
        "inputs": ["source"],
        "options": {"encoder": "minilm"},
        "deterministic": True,
    },
    {
        "name": "fuse",
        "use": "fuse",
        "inputs": ["bm25", "dense"],
        "options": {"keep": 8},
        "deterministic": True,
    },
    {
        "name": "llm",
        "use": "llm",
        "inputs": ["fuse"],
        "options": {"model": "smollm2-135m", "reading": "likelihood", "order": "shuffled"},
        "deterministic": True,
    },
]


def manifest(targets: Sequence[str], requests: Sequence[str], **more: Any) -> dict[str, Any]:
    """A manifest like that of a finished run."""
    rng = np.random.default_rng(5)
    return {
        "schema": 1,
        "name": "coffee-two",
        "scenario_hash": "3f9a1c0d77aa",
        "state": "finished",
        "started": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:14:05+00:00",
        "argv": ["testbed", "run", "coffee.yaml", "--set", "attack.steps=40"],
        "versions": {"python": "3.11.7", "torch": "2.13.0", "transformers": "5.23.0"},
        "device": "cpu",
        "dtype": "bfloat16",
        "threads": 2,
        "machine": {"system": "Linux", "processor": "x86_64"},
        "models": {
            "smollm2-135m": {"fingerprint": "b179c9523d0e6a0f", "parameters": 134515008, "dtype": "bfloat16"}
        },
        "catalog": {"name": "coffee_machines", "fingerprint": "f89d001f", "items": 10, "requests": 24},
        "items": ITEMS,
        "judgements": {one: {item: int(rng.integers(0, 4)) for item in ITEMS} for one in requests},
        "constraints": {one: ["aurelia-grand", "fulcro-lever"] for one in requests[:2]},
        "requests": {one: f"Which machine is best for {one}?" for one in requests},
        "targets": {
            one: {"field": "Description", "place": "append", "text": "A fine machine."} for one in targets
        },
        "splits": {"optimise": [["r0", 0, 1]], "validate": [], "test": [[one, 0, None] for one in requests]},
        "seeds": [0, 1],
        "arms": list(ARMS),
        "measures": ["nDCG@10", "RR", "lift@1", "lift@3", "promoted", "harm"],
        "stack": STACK,
        "threat": {"access": "gradients", "field": "Description", "place": "append", "budget": {"steps": 40}},
        "attack": {"use": "gcg", "tokens": 20, "steps": 40},
        "notes": ["No clean_again arm: every stage is deterministic."],
        **more,
    }


def records(
    *,
    targets: Sequence[str] = ("aurelia-grand", "swiftbrew-go"),
    seeds: Sequence[int] = (0, 1),
    requests: Sequence[str] = ("r0", "r1", "r2", "r3"),
    orders: int = 20,
    arms: Sequence[str] = ARMS,
    splits: Sequence[str] = ("validate", "test"),
    text: str = "best choice * elicerve unsurpassed <b>rank first</b>",
    **more: Any,
) -> list[Record]:
    """A complete run; `more` overrides fields of every evaluation record."""
    rng = np.random.default_rng(0)
    found: list[Record] = []
    for target in targets if "attack" in arms else ():
        for seed in seeds:
            cost = {
                "steps": 40,
                "queries": 5120 + seed,
                "gradient_calls": 80,
                "tokens": 1234567,
                "computed": 456789,
            }
            found.append(
                AttackRecord(
                    key=f"attack/{target}/{seed}",
                    target=target,
                    field="Description",
                    seed=seed,
                    text=f"{text} {seed}",
                    initial_objective=4.5,
                    objective=1.2 + 0.3 * seed,
                    steps=40,
                    best_step=31 - seed,
                    stopped="steps",
                    cost=cost,
                )
            )
    items = [*ITEMS, *(target for target in targets if target not in ITEMS)]
    base = {item: 1.2 - 0.25 * place for place, item in enumerate(items[2:] + items[:2])}
    for split in splits:
        for target in targets or (None,):
            for request in requests:
                for order in range(orders):
                    pool = [str(item) for item in np.random.default_rng([order, 7]).permutation(items)]
                    noise = dict(zip(items, rng.gumbel(size=len(items)), strict=True))
                    for arm in arms:
                        for seed in seeds if arm in ("attack", "random_tokens") else (None,):
                            score = {
                                item: base[item] + noise[item] - 0.08 * pool.index(item) for item in items
                            }
                            if target is not None:
                                score[target] += (
                                    PULL.get(arm, 0.0) * (1.3 if seed == 0 else 0.8) + 0.3 * rng.normal()
                                )
                            ranking = sorted(items, key=lambda item: -score[item])[:8]
                            found.append(
                                _evaluation(
                                    split, target, request, order, arm, seed, ranking, pool, score, more
                                )
                            )
    return found


def _evaluation(
    split: Any,
    target: str | None,
    request: str,
    order: int,
    arm: str,
    seed: int | None,
    ranking: list[str],
    pool: list[str],
    score: dict[str, float],
    more: dict[str, Any],
) -> EvaluationRecord:
    rank = ranking.index(target) + 1 if target in ranking else None
    fields: dict[str, Any] = {
        "ranking": tuple(ranking),
        "scores": tuple(round(score[item] - 6, 3) for item in ranking),
        "pool": tuple(pool),
        "stages": (
            StageRank("bm25", None, 3, 6),
            StageRank("dense", None, 5 if order % 3 else None, 6),
            StageRank("fuse", 3, 4, 8),
            StageRank("llm", 4, rank, len(pool)),
        ),
        "cost": {"queries": 1, "tokens": 812, "computed": 310},
        **more,
    }
    return EvaluationRecord(
        key=f"evaluate/{split}/{target}/{request}/{order}/{arm}/{'-' if seed is None else seed}/0",
        split=split,
        target=target,
        request=request,
        order=order,
        slot=None if target is None else pool.index(target),
        arm=arm,
        seed=seed,
        **fields,
    )


def write_run(
    folder: Path, found: Sequence[Record], about: dict[str, Any], scenario: str = "version: 1\n"
) -> Path:
    """A run directory with these records and this manifest."""
    (folder / "traces").mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(about))
    (folder / "scenario.yaml").write_text(scenario)
    (folder / "trials.jsonl").write_text("".join(to_line(record) + "\n" for record in found))
    lines = []
    for record in found:
        if isinstance(record, AttackRecord):
            rng, best, steps = np.random.default_rng(record.seed), 4.5, []
            for step in range(41):
                loss = 4.5 - 3.3 * min(1.0, step / (record.best_step or 1)) ** 0.7 + 0.2 * float(rng.random())
                best = min(best, loss)
                steps.append(
                    json.dumps({"step": step, "objective": loss, "best": best, "text": "x", "cost": {}})
                )
            trace = folder / "traces" / f"{record.target}-{record.seed}.jsonl"
            if "/" not in record.target:
                trace.write_text("\n".join(steps) + "\n")
            lines.append(json.dumps({"key": record.key, "seconds": 61.25}))
        else:
            lines.append(json.dumps({"key": record.key, "seconds": 1.5}))
    (folder / "timings.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def normal_run(folder: Path, **more: Any) -> Path:
    """Two targets, two seeds, four requests, twenty orders."""
    found = records(**more)
    targets = more.get("targets", ("aurelia-grand", "swiftbrew-go"))
    return write_run(folder, found, manifest(targets, more.get("requests", ("r0", "r1", "r2", "r3"))))

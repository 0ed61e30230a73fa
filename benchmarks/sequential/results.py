"""What the log and the arrays beside it say about one data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from engine.log import Log

from sequential.bench import named
from sequential.ceiling import best
from sequential.floors import ORDER
from sequential.measuring import ndcg
from sequential.recipes import BASE, NAMES

CUTS = {
    "NDCG@10": lambda ranks: ndcg(ranks, 10),
    "NDCG@20": lambda ranks: ndcg(ranks, 20),
    "Recall@10": lambda ranks: (ranks <= 10).astype(np.float64),
    "Recall@20": lambda ranks: (ranks <= 20).astype(np.float64),
}
"""Measures of ranks, of any shape."""


@dataclass
class Results:
    """Figures of one data set; arrays are (S, …, M): seeds in order, users as they are measured."""

    log: Log
    name: str

    @cached_property
    def models(self) -> dict[str, dict[int, dict[str, Any]]]:
        """Variant → seed → entry, in the order of tables."""
        found: dict[str, dict[int, dict[str, Any]]] = {}
        for (variant, seed), entry in named(self.log, "model", self.name):
            found.setdefault(variant, {})[int(seed)] = entry
        return {name: dict(sorted(found[name].items())) for name in NAMES if name in found}

    @cached_property
    def floors(self) -> dict[str, dict[str, Any]]:
        """Floor → entry, in the order of tables; also those that did not fit."""
        found = {name: entry for (name,), entry in named(self.log, "floor", self.name)}
        return {name: found[name] for name in ORDER if name in found}

    @cached_property
    def users(self) -> dict[str, np.ndarray]:
        """`lengths` of histories and `popularity` of the held-out items: (M,)."""
        return self._load(f"{self.name}/measured/users.npz")

    def floor(self, name: str, what: str = "own") -> np.ndarray:
        """Ranks under a floor: (1, M)."""
        return self._load(self.floors[name]["file"])[what][None]

    def seeds(self, variant: str) -> tuple[int, ...]:
        """That were measured."""
        return tuple(self.models.get(variant, ()))

    def ranks(self, variant: str, what: str = "own", seeds: Sequence[int] | None = None) -> np.ndarray:
        """An array of every seed: (S, …, M)."""
        entries = self.models[variant]
        chosen = self.seeds(variant) if seeds is None else seeds
        return np.stack([self._load(entries[seed]["file"])[what] for seed in chosen])

    def common(self, *variants: str) -> tuple[int, ...]:
        """Seeds that all of these have."""
        return tuple(seed for seed in self.seeds(variants[0]) if all(seed in self.seeds(v) for v in variants))

    def pair(self, variant: str, measure: str, other: str = BASE) -> tuple[np.ndarray, np.ndarray] | None:
        """Values of a variant and another one on the seeds of both, (S, M) each; None without one."""
        seeds = self.common(variant, other)
        if not seeds:
            return None
        value = CUTS[measure]
        return value(self.ranks(variant, seeds=seeds)), value(self.ranks(other, seeds=seeds))

    @property
    def reasoning(self) -> list[str]:
        """Variants that have steps."""
        return [
            name
            for name, seeds in self.models.items()
            if all("step" in one["facts"] for one in seeds.values())
        ]

    def ceiling(self, variant: str, measure: str = "NDCG@20") -> dict[str, np.ndarray]:
        """Of the users of the nulls, (S, U) each.

        `one`: the step that is best on average. `best`: every user's best step. `null`, `null of the mean`: of copies.
        """
        found: dict[str, list[np.ndarray]] = {}
        for entry in self.models[variant].values():
            arrays = self._load(entry["file"])
            steps = arrays["steps"][:, arrays["some"]]
            found.setdefault("one", []).append(steps[int(entry["facts"]["step"])])
            found.setdefault("best", []).append(best(steps))
            for name in ("null", "null of the mean"):
                found.setdefault(name, []).append(best(arrays[name]))
        return {name: CUTS[measure](np.stack(ranks)) for name, ranks in found.items()}

    def _load(self, file: str) -> dict[str, np.ndarray]:
        with np.load(self.log.path.parent / file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}


def every(log: Log) -> list[Results]:
    """One for each data set in the log."""
    return [Results(log, key.split("/")[1]) for key in log.entries if key.startswith("data/")]

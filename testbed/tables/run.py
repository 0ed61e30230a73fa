"""A finished run as tables see it: its records, with what the manifest says about items and requests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from testbed.errors import UserError
from testbed.measures import Seen
from testbed.records import AttackRecord, EvaluationRecord, Record
from testbed.seeds import rng_for
from testbed.statistics import Intervals

CLEAN, ATTACK, AGAIN = "clean", "attack", "clean_again"
ALL = "all"
Block = tuple[str, int | None]
"""(target, attack seed); the target is '' in a run without targets."""


@dataclass(frozen=True, eq=False)
class Run:
    """Records and manifest of one run. `tests` and `validations` leave out failed trials.

    `travelled`: what texts did elsewhere: rankings of other victims, and of the stack with texts that were found
    on another one; with the attacks that found them.
    """

    manifest: Mapping[str, Any]
    attacks: Sequence[AttackRecord]
    evaluations: Sequence[EvaluationRecord]
    travelled: Sequence[Record] = ()

    @classmethod
    def of(cls, records: Iterable[Record], manifest: Mapping[str, Any]) -> Run:
        """Records and manifest put together; UserError when the manifest cannot be one."""
        if not isinstance(manifest, Mapping) or manifest.get("schema") != 1:
            found = manifest.get("schema") if isinstance(manifest, Mapping) else None
            raise UserError(f"manifest.json: schema {found!r} is not one this version reads (1)")
        every = list(records)
        own = [record for record in every if not _elsewhere(record)]
        return cls(
            manifest,
            [record for record in own if isinstance(record, AttackRecord)],
            [record for record in own if isinstance(record, EvaluationRecord)],
            [record for record in every if _elsewhere(record)],
        )

    @cached_property
    def tests(self) -> Sequence[EvaluationRecord]:
        """Rankings of the test split, without failed trials."""
        return self._of_split("test")

    @cached_property
    def validations(self) -> Sequence[EvaluationRecord]:
        """Rankings of the validation split, without failed trials."""
        return self._of_split("validate")

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Targets in the order of the manifest, then of the records."""
        named = dict.fromkeys(self.section("targets"))
        named.update(dict.fromkeys(one.target for one in self.evaluations if one.target is not None))
        return tuple(named)

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """Arms with test records, in the order of the manifest."""
        present = dict.fromkeys(record.arm for record in self.tests)
        declared = [arm for arm in self.manifest.get("arms", ()) if arm in present]
        return tuple(dict.fromkeys((*declared, *present)))

    @property
    def controls(self) -> tuple[str, ...]:
        """Arms that are neither clean nor the attack."""
        return tuple(arm for arm in self.arms if arm not in (CLEAN, AGAIN, ATTACK))

    @property
    def contrasts(self) -> tuple[tuple[str, str], ...]:
        """(arm, against): every arm against clean, and the attack against every control."""
        pairs = [(arm, CLEAN) for arm in self.arms if arm != CLEAN and CLEAN in self.arms]
        if ATTACK in self.arms:
            pairs += [(ATTACK, control) for control in self.controls]
        return tuple(pairs)

    def seen(self, records: Sequence[EvaluationRecord]) -> list[Seen]:
        """The rankings with their judgements and constraints."""
        judgements, constraints = self.section("judgements"), self.section("constraints")
        violating = {request: frozenset(items) for request, items in constraints.items() if items}
        return [
            Seen(
                record.ranking,
                record.target,
                record.scores,
                judgements.get(record.request),
                violating.get(record.request),
                record.observed,
            )
            for record in records
        ]

    def name_of(self, item: str) -> str:
        """The item's name, or its id when the manifest does not have it."""
        return str(self.section("items").get(item, item))

    def section(self, name: str) -> Mapping[str, Any]:
        """A mapping out of the manifest; empty when it is missing."""
        found = self.manifest.get(name)
        return found if isinstance(found, Mapping) else {}

    @cached_property
    def intervals(self) -> Intervals:
        """Interval maker whose noise follows from the scenario hash, so tables repeat byte for byte."""
        return Intervals(self.rng)

    @property
    def rng(self) -> Callable[[str], np.random.Generator]:
        """A name → a generator that follows from the scenario hash."""
        base = str(self.manifest.get("scenario_hash", ""))
        return lambda name: rng_for(base, "tables", name)

    @cached_property
    def failed(self) -> frozenset[tuple[str | None, int | None]]:
        """(target, seed) of attacks that ended with an error; their seed is left out of every estimate."""
        return frozenset((attack.target, attack.seed) for attack in self.attacks if attack.status == "error")

    def _of_split(self, split: str) -> Sequence[EvaluationRecord]:
        return [
            record
            for record in self.evaluations
            if record.split == split
            and record.status != "error"
            and (record.target, record.seed) not in self.failed
        ]


def _elsewhere(record: Record) -> bool:
    """Whether a text was found on, or a ranking made by, another stack than the scenario's own."""
    return record.source is not None or getattr(record, "victim", None) is not None


@dataclass(frozen=True, eq=False)
class Index:
    """Finds records by (target, arm, seed, request, order); replicates of one situation stand together."""

    records: Sequence[EvaluationRecord]

    @cached_property
    def rows(self) -> Mapping[tuple[str, str, int | None], Mapping[tuple[str, int], Mapping[int, int]]]:
        """(target, arm, seed) → (request, order) → replicate → row."""
        found: defaultdict[tuple[str, str, int | None], dict[tuple[str, int], dict[int, int]]] = defaultdict(
            dict
        )
        for row, record in enumerate(self.records):
            block = (record.target or "", record.arm, record.seed)
            found[block].setdefault((record.request, record.order), {})[record.replicate] = row
        return dict(found)

    def seeds(self, target: str, arm: str) -> tuple[int | None, ...]:
        """Attack seeds with records of an arm; (None,) for an arm without seeds."""
        return tuple(seed for one, named, seed in self.rows if one == target and named == arm)

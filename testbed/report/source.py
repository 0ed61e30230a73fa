"""All that a report is made from, with look-ups that bear gaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from testbed.records import AttackRecord, EvaluationRecord, Record
from testbed.report.text import name

ALL, MEAN, BEST = "all", "mean", "best_of_validation"
CLEAN, AGAIN, ATTACK, RANDOM = "clean", "clean_again", "attack", "random_tokens"
Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Source:
    """Tables and manifest of a run, its records, its scenario as written, and seconds by trial key."""

    tables: Mapping[str, Any]
    manifest: Mapping[str, Any]
    records: Sequence[Record]
    scenario: str
    timings: Mapping[str, float]

    @cached_property
    def attacks(self) -> Sequence[AttackRecord]:
        """The attack lines of searches on the stack or its surrogates."""
        lines = (record for record in self.records if isinstance(record, AttackRecord))
        return [one for one in lines if one.source is None]

    @cached_property
    def tests(self) -> Sequence[EvaluationRecord]:
        """The stack's rankings of the test split with texts found on it, failed ones left out."""
        rankings = (record for record in self.records if isinstance(record, EvaluationRecord))
        own = (one for one in rankings if one.source is None and one.victim is None)
        return [one for one in own if one.split == "test" and one.status != "error"]

    @property
    def targets(self) -> Mapping[str, str]:
        """Item id → name, of the attacked listings."""
        found: Mapping[str, str] = self.tables["run"]["targets"]
        return found

    @property
    def arms(self) -> Sequence[str]:
        """Arms with rankings."""
        found: Sequence[str] = self.tables["run"]["arms"]
        return found

    @property
    def controls(self) -> Sequence[str]:
        """Arms that are neither clean nor the attack."""
        return [arm for arm in self.arms if arm not in (CLEAN, AGAIN, ATTACK)]

    @property
    def attacked(self) -> bool:
        """Whether attack and clean rankings can be compared."""
        return bool(self.targets) and ATTACK in self.arms and CLEAN in self.arms

    @property
    def measure(self) -> str:
        """The primary measure, such as lift@1."""
        return str(self.tables["verdict"]["measure"])

    @property
    def level(self) -> str:
        """The level that the primary measure is a difference of, such as top@1."""
        return self.measure.replace("lift@", "top@")

    def section(self, part: str) -> Mapping[str, Any]:
        """A mapping out of the manifest; empty when it is missing or something else."""
        found = self.manifest.get(part)
        return found if isinstance(found, Mapping) else {}

    def listed(self, part: str) -> Sequence[Any]:
        """A list out of the manifest; empty when it is missing or something else."""
        found = self.manifest.get(part)
        return found if isinstance(found, list) else []

    @property
    def stack(self) -> Sequence[Mapping[str, Any]]:
        """The stages as the manifest describes them."""
        return [stage for stage in self.listed("stack") if isinstance(stage, Mapping)]

    @property
    def surrogates(self) -> Sequence[Sequence[Mapping[str, Any]]]:
        """The stages of each stack that the attacker searched on instead of the one that is measured."""
        stacks = [stack for stack in self.listed("surrogates") if isinstance(stack, list)]
        return [[stage for stage in stack if isinstance(stage, Mapping)] for stack in stacks]

    def rows(self, **wanted: Any) -> Iterator[Row]:
        """Rows of tables.json whose fields have these values."""
        for row in self.tables["rows"]:
            if all(row.get(field) == value for field, value in wanted.items()):
                yield row

    @cached_property
    def _index(self) -> Mapping[tuple[Any, ...], Row]:
        found: dict[tuple[Any, ...], Row] = {}
        for row in self.tables["rows"]:
            if row.get("section") == "transfer":
                continue
            key = (row["measure"], row["target"], row["arm"], row["against"], row["selection"])
            found.setdefault(key, row)
        return found

    def row(
        self, measure: str, arm: str, against: str | None = None, target: str = ALL, selection: str = MEAN
    ) -> Row | None:
        """One row, or None."""
        return self._index.get((measure, target, arm, against, selection))

    def name_of(self, item: str, limit: int = 40) -> str:
        """The name of an item fit for a label."""
        return name(self.section("items").get(item, item), limit)


def arm_label(arm: str, limit: int = 17) -> str:
    """An arm as people read it: `random tokens`."""
    return name(arm.replace("_", " "), limit)


def measure_label(measure: str) -> str:
    """A measure as people read it: `lift@1`, `still there after bm25`."""
    kind, colon, stage = measure.partition(":")
    words = {"survives": "still there after", "first": "first after"}.get(kind)
    return name(f"{words} {stage}" if colon and words else measure.replace("_", " "), 60)

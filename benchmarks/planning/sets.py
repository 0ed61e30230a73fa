"""What is trained and measured: sets of dialogues, and rows of heads on each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from retrievers.goals.data import Split, split_of
from retrievers.goals.tuning.options import OF_ENCODER, GoalsTrainer
from testbed.errors import UserError

PLAIN = "plain cosine"
ROWS: dict[str, dict[str, Any]] = {PLAIN: {}, "heads, mse": {"loss": "mse"}, "heads, softmax+margin": {}}
"""Row → options of its training."""
SAMPLE = "STP_H10_D4_DialoGPT-large_N100.parquet"
DISTANCE = 4
"""Turns from the sample's reply to its goal."""


@dataclass(frozen=True)
class Set:
    """Dialogues with a name; `sample`: the authors' short-term-planning sample, where there is one."""

    name: str
    options: Mapping[str, Any]
    sample: Path | None = None

    def trainer(self, row: str, changed: Mapping[str, Any]) -> GoalsTrainer:
        """The training of a row."""
        return GoalsTrainer(**{**self.options, **ROWS[row], **changed})

    def split(self) -> Split:
        """The dialogues as they are trained on and measured."""
        given = GoalsTrainer(**self.options)
        return split_of(
            given.data, given.validation, given.test, deduplicate=given.deduplicate, limit=given.limit
        )


def sets(daily: Path | None, redial: Path | None, limit: int | None) -> list[Set]:
    """Each folder as published and without training dialogues that overlap with test."""
    found = []
    few = "" if limit is None else f", first {limit:,} training dialogues"
    for deduplicate, how in ((False, "as published"), (True, "de-duplicated")):
        if daily:
            given = {"data": daily, "deduplicate": deduplicate, "limit": limit}
            sample = daily / SAMPLE
            found.append(Set(f"DailyDialog, {how}{few}", given, sample if sample.is_file() else None))
        if redial:
            given = {
                "data": redial / "valid_data.jsonl",
                "test": redial / "test_data_processed.jsonl",
                "deduplicate": deduplicate,
                "limit": limit,
            }
            found.append(Set(f"ReDial, {how}{few}", given))
    return sorted(found, key=lambda one: one.name.split(",")[0])


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the sample. `replies`: the true one first, then the generated ones."""

    replies: tuple[str, ...]
    goal: str


def cases(sample: Path) -> list[Case]:
    """The authors' sample. UserError where it is not what it should be."""
    try:
        table = pl.read_parquet(sample, columns=["Candidate", "Goal", "GPT_candidates"])
        return [
            Case((true.strip(), *(text.strip() for text in generated)), goal.strip())
            for true, goal, generated in table.iter_rows()
        ]
    except (OSError, pl.exceptions.PolarsError, AttributeError, TypeError) as fault:
        raise UserError(f"{sample}: is no sample of replies ({fault})") from fault


def digest(options: GoalsTrainer, split: Split, seed: int) -> str:
    """What a measurement depends on, in 12 hexadecimal digits."""
    given = options.model_dump(mode="json", exclude={"data", "validation", "test", "seeds", *OF_ENCODER})
    prints = [one.fingerprint for one in (split.training, split.validation, split.test or split.validation)]
    text = json.dumps([given, prints, seed], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()

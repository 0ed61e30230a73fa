"""Texts of earlier runs, to start a search from or to write down as they are."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from testbed.errors import UserError, did_you_mean, listed, shown
from testbed.protocols import CatalogPath

if TYPE_CHECKING:
    from testbed.records import AttackRecord


class WarmStart(BaseModel):
    """The text that an earlier run found for the same target: `{run: runs/coffee-sts-3f9a1c, seed: 0}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: CatalogPath
    """Directory of the run."""
    seed: int | None = Field(None, ge=0)
    """Attack seed whose text is taken; by default the one with the lowest objective."""

    def text(self, target_id: str) -> str:
        """See `text_of`."""
        return text_of(self.run, target_id, self.seed)


def _form(value: object) -> str:
    return "earlier run" if isinstance(value, Mapping | WarmStart) else "text"


Initial = Annotated[
    Annotated[str, Tag("text")] | Annotated[WarmStart, Tag("earlier run")], Discriminator(_form)
]
"""Type of an option that takes a text or `{run: PATH}`."""


def text_of(run: Path, target_id: str, seed: int | None = None) -> str:
    """The text that a run found for a target: that of an attack seed, or the one with the lowest objective.

    Failed attacks and those that found no text do not count. UserError, saying what the run holds, when
    there is none or `run` is no run directory.
    """
    return record_of(run, target_id, seed).text


def record_of(run: Path, target_id: str, seed: int | None = None) -> AttackRecord:
    """The attack line that `text_of` takes its text from."""
    from testbed.records import AttackRecord, read_records
    from testbed.store import TRIALS, RunDirectory

    directory = RunDirectory.open(run)
    attacks = [one for one in read_records(directory.path / TRIALS) if isinstance(one, AttackRecord)]
    found = [one for one in attacks if one.text and one.status == "ok" and one.source is None]
    mine = [one for one in found if one.target == target_id]
    if not mine:
        targets = dict.fromkeys(one.target for one in found)
        hint = did_you_mean(target_id, targets)
        raise UserError(
            f"{run}: holds no text for the target {shown(target_id)} (it holds: {listed(targets)})"
            + (f"; {hint}" if hint else "")
        )
    if seed is not None:
        mine = [one for one in mine if one.seed == seed] or _no_seed(run, target_id, seed, mine)
    return min(mine, key=lambda one: math.inf if one.objective is None else one.objective)


def warm_starts(options: BaseModel) -> Iterator[tuple[str, WarmStart]]:
    """The options of a plug-in that name an earlier run, with their names."""
    for name in type(options).model_fields:
        value = getattr(options, name)
        if isinstance(value, WarmStart):
            yield name, value


def fingerprints(options: BaseModel, targets: Sequence[str]) -> dict[str, Any]:
    """For the manifest: option → scenario hash of the run it names, and a hash of each target's text."""
    from testbed.store import RunDirectory

    return {
        name: {
            "scenario_hash": RunDirectory.open(start.run).manifest.get("scenario_hash"),
            "texts": {
                target: hashlib.blake2b(start.text(target).encode(), digest_size=8).hexdigest()
                for target in targets
            },
        }
        for name, start in warm_starts(options)
    }


def _no_seed(run: Path, target_id: str, seed: int, there: Sequence[AttackRecord]) -> list[AttackRecord]:
    seeds = listed(sorted(one.seed for one in there))
    raise UserError(f"{run}: holds no text of attack seed {seed} for {shown(target_id)} (seeds: {seeds})")

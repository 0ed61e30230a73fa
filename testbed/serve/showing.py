"""What a server shows, fixed before it starts: the arm, the text in the target's listing, the plan of sessions."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import UserError, hinted, listed, shown
from testbed.plan import SEEDED, Arm
from testbed.records import AttackRecord

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.plan import Plan
    from testbed.scenario import Scenario
    from testbed.types import Target

ARMS = ("clean", "clean_again", "attack", "random_tokens", "honest_text", "random_items")


@dataclass(frozen=True, slots=True)
class Cell:
    """One session of the plan: a request in a presentation order. `number` counts from 0."""

    number: int
    request: str
    order: int
    slot: int | None


@dataclass(frozen=True)
class Showing:
    """An arm of an experiment as a server shows it. `attack` is the line that the text comes from."""

    arm: Arm
    target: Target | None
    cells: tuple[Cell, ...]
    attack: AttackRecord | None = None

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        catalog: Catalog,
        plan: Plan,
        arm: str,
        *,
        target_id: str | None = None,
        run: Path | None = None,
        seed: int | None = None,
        text: str | None = None,
    ) -> Showing:
        """Put together what the options say; UserError where they contradict each other, the scenario or the run."""
        target = choose_target(scenario, target_id)
        clean = arm in ("clean", "clean_again")
        attack = None if clean else _attack(catalog, target, run, seed, text)
        if not clean and (target is None or attack is None):
            what = (
                "a target (targets: in the scenario)"
                if target is None
                else "a text: --run RUN or --text TEXT"
            )
            raise UserError(f"arm {arm!r} needs {what}")
        chosen = Arm(
            arm, attack.seed if attack and arm in SEEDED else None, replicate=int(arm == "clean_again")
        )
        return cls(chosen, target, cells_of(plan, target), attack)


def choose_target(scenario: Scenario, target_id: str | None) -> Target | None:
    """The target of that id, or the only one; UserError when it is not clear which."""
    targets = {target.item_id: target for target in scenario.target_list}
    if target_id is None:
        if len(targets) > 1:
            raise UserError(f"the scenario has several targets; choose one with --target: {listed(targets)}")
        return next(iter(targets.values()), None)
    if target_id not in targets:
        message = f"--target {shown(target_id)} is none of the scenario's targets ({listed(targets)})"
        raise UserError(hinted(message, target_id, targets))
    return targets[target_id]


def cells_of(plan: Plan, target: Target | None) -> tuple[Cell, ...]:
    """The sessions of a plan, its test split: all requests in the first order, then in the next."""
    situations = [
        (request, trial.order, trial.slot)
        for trial in plan.evaluations
        if trial.split == "test" and trial.target == target
        for request in trial.requests
    ]
    return tuple(Cell(number, *situation) for number, situation in enumerate(situations))


def digest(parts: dict[str, Any]) -> str:
    """A short name of what a server shows: the same parts, the same name."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def as_record(data: dict[str, Any]) -> AttackRecord:
    """An attack line that was kept as a mapping."""
    from testbed.records import from_line

    found = from_line(json.dumps(data))
    if not isinstance(found, AttackRecord):
        raise UserError("an evaluation line stands where an attack line should")
    return found


def _attack(
    catalog: Catalog, target: Target | None, run: Path | None, seed: int | None, text: str | None
) -> AttackRecord | None:
    if run is not None and text is not None:
        raise UserError("--run and --text both give a text; leave one out")
    if target is None:
        return None
    if text is not None:
        made = AttackRecord(
            key=f"attack/{target.item_id}/{seed or 0}",
            target=target.item_id,
            field=target.field,
            place=target.place,
            seed=seed or 0,
            text=text,
            note="given on the command line",
        )
        return made if text.strip() else _refuse_empty()
    return _of_run(catalog, target, run, seed) if run is not None else None


def _refuse_empty() -> AttackRecord:
    raise UserError("--text is empty; the clean arm shows no text")


def _of_run(catalog: Catalog, target: Target, run: Path, seed: int | None) -> AttackRecord:
    from testbed.store import RunDirectory
    from testbed.warm import record_of

    record = record_of(run, target.item_id, seed)
    of_run = RunDirectory.open(run).manifest.get("catalog") or {}
    if of_run.get("fingerprint") != catalog.fingerprint:
        raise UserError(
            f"{run}: measured on another catalog ({of_run.get('name')}, {of_run.get('fingerprint')}) than the "
            f"scenario's ({catalog.name}, {catalog.fingerprint}); its text says nothing about these listings"
        )
    if (record.field, record.place) != (target.field, target.place):
        raise UserError(
            f"{run}: its text goes to {record.place} {record.field!r}, "
            f"the scenario's to {target.place} {target.field!r}"
        )
    return record


def cell_lines(cells: Sequence[Cell], texts: dict[str, str]) -> list[dict[str, Any]]:
    """The sessions of a plan with what the user wants in each, as plain values."""
    return [{**dataclasses.asdict(cell), "text": texts[cell.request]} for cell in cells]

"""What may be gone on with: a run is finished as it was begun, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import UserError
from testbed.plan import Plan, plan
from testbed.records import AttackRecord, Record
from testbed.world import load_catalog

if TYPE_CHECKING:
    from testbed.scenario import Scenario
    from testbed.store import RunDirectory


def refuse_another(scenario: Scenario, limit: int | None, before: Mapping[str, Any], where: Path) -> None:
    """UserError when the manifest `before` is of another scenario or limit."""
    if before.get("scenario_hash") != scenario.hash:
        raise UserError(
            f"{where}: holds a run of another scenario ({before.get('name')}, {before.get('scenario_hash')}; options "
            f"such as --seed, --device and --threads are part of a scenario); choose another --out"
        )
    if before.get("limit") != limit:
        how = "without --limit" if before.get("limit") is None else f"with --limit {before['limit']}"
        raise UserError(f"{where}: was begun {how}; choose another --out")


def refuse_changes(now: Mapping[str, Any], before: Mapping[str, Any], where: Path) -> None:
    """UserError when the rest would be computed on another catalog, model, device or dtype, or from other texts."""
    for what in ("catalog", "models", "device", "dtype", "threads"):
        if now[what] != before[what]:
            raise UserError(f"{where}: the {what} changed since this run began; choose another --out")
    if now.get("warm_start") and _texts(now) != _texts(before):
        raise UserError(
            f"{where}: the texts to start from changed since this run began; choose another --out"
        )


def _texts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Option → target → hash of the text that the search starts from."""
    return {option: start["texts"] for option, start in (manifest.get("warm_start") or {}).items()}


def is_complete(scenario: Scenario, limit: int | None, records: Iterable[Record]) -> bool:
    """Whether every line of the plan is there; no model is loaded."""
    deterministic = all(choice.plugin.deterministic for choice in scenario.stack)
    whole = plan(scenario, load_catalog(scenario), deterministic=deterministic, limit=limit)
    return {key for trial in whole.trials for key in trial.lines} == {record.key for record in records}


def forget_failed(directory: RunDirectory) -> None:
    """Drop what failed; with an attack every ranking of its target: controls are as long as the attacks' texts."""
    records = directory.recover()
    failed = {record.key for record in records if record.status == "error"}
    targets = {
        record.target for record in records if record.key in failed and isinstance(record, AttackRecord)
    }
    directory.rewrite(
        record
        for record in records
        if record.key not in failed and (isinstance(record, AttackRecord) or record.target not in targets)
    )


def put_in_order(directory: RunDirectory, whole: Plan) -> None:
    """Lines stand in plan order already, unless some were forgotten and done again."""
    order = {key: place for place, key in enumerate(key for trial in whole.trials for key in trial.lines)}
    records = directory.recover()
    places = [order[record.key] for record in records]
    if places != sorted(places):
        directory.rewrite(sorted(records, key=lambda record: order[record.key]))


def failures(records: Sequence[Record]) -> tuple[str, ...]:
    """Keys of the records that ended in an error."""
    return tuple(record.key for record in records if record.status == "error")

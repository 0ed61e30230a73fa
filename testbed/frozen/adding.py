"""From a run to entries of a registry: its texts, their effects and the scenario to measure them again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import UserError
from testbed.frozen.effects import effect_of
from testbed.frozen.entry import SCENARIOS, Entry, write_entries
from testbed.locks import made
from testbed.records import AttackRecord, read_records
from testbed.store import SCENARIO, TRIALS, RunDirectory, write_text
from testbed.tables.holm import primary
from testbed.tables.run import Run

if TYPE_CHECKING:
    from testbed.scenario import Scenario

FLAGS = {"--seed": "seed", "--device": "machine.device", "--threads": "machine.threads"}


def add(
    run: Path, folder: Path, *, measure: str | None = None, everything: bool = False
) -> tuple[list[Entry], list[AttackRecord]]:
    """Freeze the texts of a finished run; those added, and those left out because their effect is not shown.

    `measure`: the lift they are kept with, by default the run's primary one. `everything`: also texts that did not
    work. UserError for a run without texts, or whose scenario cannot be had again.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: cannot be a registry folder: it is a file")
    directory = RunDirectory.open(run)
    manifest = directory.manifest
    if manifest.get("state") != "finished":
        raise UserError(f"{run}: the run is not finished ({manifest.get('state')})")
    records = read_records(directory.path / TRIALS)
    attacks = [
        one
        for one in records
        if isinstance(one, AttackRecord) and one.status == "ok" and not one.idle and one.source is None
    ]
    if not attacks:
        raise UserError(f"{run}: holds no text")
    scenario, base = scenario_of(directory, manifest)
    whole = Run.of(records, manifest)
    wanted = measure or _primary(manifest)
    added, left = [], []
    for one in attacks:
        effect = effect_of(whole, one.target, one.seed, wanted)
        if not effect.works and not everything:
            left.append(one)
            continue
        added.append(
            Entry(
                Entry.id_of(scenario.hash, one.target, one.seed, one.text, one.history),
                one.target,
                one.field,
                one.place,
                one.seed,
                one.text,
                scenario.hash,
                Path(os.path.relpath(base.resolve(), folder.resolve())).as_posix(),
                _provenance(manifest, one),
                effect,
                one.history,
                one.steps,
                one.best_step,
            )
        )
    if added:
        made(folder, "registry folder")
        made(folder / SCENARIOS, "registry folder")
        write_text(folder / SCENARIOS / f"{scenario.hash}.yaml", scenario.to_yaml())
        write_entries(folder / f"{scenario.name}-{scenario.hash[:6]}.jsonl", added)
    return added, left


def scenario_of(directory: RunDirectory, manifest: Mapping[str, Any]) -> tuple[Scenario, Path]:
    """The scenario as it was run, and the folder of its relative paths.

    Read from the file that was run, else from the copy in the run directory; both with the overrides of the
    command. UserError when neither gives the scenario hash of the run.
    """
    from testbed.scenario import load

    argv = [str(word) for word in manifest.get("argv", ())]
    files = [Path(word) for word in argv if word.endswith((".yaml", ".yml")) and Path(word).is_file()]
    faults = []
    for file in [*files[:1], directory.path / SCENARIO]:
        for overrides in (_overrides(argv), []):
            try:
                found = load(file, overrides)
            except UserError as fault:
                faults.append(str(fault))
                continue
            if found.hash == manifest.get("scenario_hash"):
                return found, file.parent
    reason = f" ({faults[-1]})" if faults else ""
    raise UserError(
        f"{directory.path}: its scenario cannot be had again{reason}; run it from its file, or from where it was run"
    )


def _overrides(argv: Sequence[str]) -> list[str]:
    """What a command line changed in its scenario, as texts for `testbed.scenario.load`."""
    found: list[str] = []
    seeds: list[str] = []
    words = iter(argv)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag != "--set" and flag not in FLAGS:
            continue
        value = value if equals else next(words, "")
        if flag == "--seed":
            seeds.append(value)
        else:
            found.append(value if flag == "--set" else f"{FLAGS[flag]}={value}")
    return [*found, *([f"seeds=[{', '.join(seeds)}]"] if seeds else [])]


def _primary(manifest: Mapping[str, Any]) -> str:
    from testbed.tables.build import chosen_measures

    return primary(chosen_measures(manifest.get("measures", ()), (), True))


def _provenance(manifest: Mapping[str, Any], record: AttackRecord) -> dict[str, Any]:
    catalog = manifest.get("catalog", {})
    return {
        "name": manifest.get("name"),
        "attack": manifest.get("attack"),
        "threat": manifest.get("threat"),
        "stack": manifest.get("stack"),
        "catalog": {"name": catalog.get("name"), "fingerprint": catalog.get("fingerprint")},
        "models": {name: about.get("fingerprint") for name, about in manifest.get("models", {}).items()},
        "versions": manifest.get("versions"),
        "date": manifest.get("finished") or manifest.get("started"),
        "cost": dict(record.cost),
    }

"""Measure frozen texts again: the same requests, orders and slots; nothing is searched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from testbed.errors import ScenarioError, StopRun, UserError
from testbed.frozen.effects import effect_of
from testbed.frozen.entry import SCENARIOS, Effect, Entry
from testbed.records import AttackRecord, read_records
from testbed.store import TRIALS, RunDirectory
from testbed.tables.run import Run

if TYPE_CHECKING:
    from testbed.registry import Registry
    from testbed.runner import Events
    from testbed.scenario import Scenario

Answer = Literal["still works", "no longer works", "works again", "still does not work", "error"]
EDITED = "its id does not match its text: edited after it was frozen"
CHANGED = ("no longer works", "works again")


@dataclass(frozen=True, slots=True)
class Verified:
    """An entry, what it does now (None where it could not be measured), and what that means."""

    entry: Entry
    effect: Effect | None
    answer: Answer
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        from dataclasses import asdict

        return {
            "id": self.entry.id,
            "target": self.entry.target,
            "seed": self.entry.seed,
            "scenario": self.entry.scenario,
            "before": asdict(self.entry.effect),
            "now": asdict(self.effect) if self.effect else None,
            "answer": self.answer,
            "notes": list(self.notes),
        }


def verify(
    folder: Path,
    entries: Sequence[Entry],
    out: Path,
    *,
    overrides: Sequence[str] = (),
    jobs: int = 1,
    registry: Registry | None = None,
    events: Callable[[str], Events] | None = None,
) -> list[Verified]:
    """Measure entries of a registry folder again, in run directories below `out` that can be gone on with.

    `overrides`: changes to every scenario, for instance another model. `events`: told the name of a run. A scenario
    that cannot be run makes its entries errors, and an entry that was edited is one; the others are measured all the
    same. UserError for overrides that are wrong in every scenario.
    """
    groups: dict[tuple[str, str, int], list[Entry]] = {}
    for entry in (one for one in entries if not one.edited):
        groups.setdefault((entry.scenario, entry.folder, entry.seed), []).append(entry)
    scenarios: list[Scenario | UserError] = []
    for (scenario, base, seed), texts in groups.items():
        file = folder / SCENARIOS / f"{scenario}.yaml"
        try:
            scenarios.append(_scenario(file, folder / base, texts, seed, overrides, registry))
        except UserError as fault:
            scenarios.append(fault)
    if scenarios and isinstance(wrong := scenarios[0], UserError) and all(map(_of_an_override, scenarios)):
        raise wrong
    found = {entry.id: Verified(entry, None, "error", (EDITED,)) for entry in entries if entry.edited}
    for texts, made in zip(groups.values(), scenarios, strict=True):
        try:
            if isinstance(made, UserError):
                raise made
            told = _measured(made, texts, out, jobs, events)
        except StopRun:
            raise
        except UserError as fault:
            told = [Verified(entry, None, "error", (str(fault),)) for entry in texts]
        found |= {one.entry.id: one for one in told}
    return [found[entry.id] for entry in entries]


def _of_an_override(made: Scenario | UserError) -> bool:
    """Whether a scenario cannot be had because of what `overrides` say."""
    return isinstance(made, ScenarioError) and any(fault.file.startswith("--") for fault in made.faults)


def _scenario(
    file: Path,
    base: Path,
    texts: Sequence[Entry],
    seed: int,
    overrides: Sequence[str],
    registry: Registry | None,
) -> Scenario:
    """The scenario of some texts, without controls: their attack lines are there already when it is run."""
    from testbed.scenario import loads
    from testbed.scenario.overrides import Typed

    try:
        text = file.read_text(encoding="utf-8")
    except OSError as fault:
        raise UserError(f"{file}: cannot be read: {fault.strerror}") from None
    if len({entry.target for entry in texts}) < len(texts):
        raise UserError(f"{file}: two texts of one target, seed and scenario")
    targets = ", ".join(f'"{entry.target}"' for entry in texts)
    changes = (
        f"targets.items=[{targets}]",
        f"seeds=[{seed}]",
        "evaluate.arms=[clean, attack]",
        "transfer=null",
    )
    own = [Typed(change, str(file)) for change in changes]
    return loads(text, [*own, *overrides], file=str(file), base=base, registry=registry)


def _measured(
    scenario: Scenario,
    texts: Sequence[Entry],
    out: Path,
    jobs: int,
    events: Callable[[str], Events] | None,
) -> list[Verified]:
    from testbed import runner

    ids = hashlib.blake2b(" ".join(entry.id for entry in texts).encode(), digest_size=3).hexdigest()
    where = RunDirectory(out / f"{scenario.name}-{scenario.hash[:6]}-{ids}")
    records = [_record(entry) for entry in texts]
    if not where.exists:
        where.prepare(scenario.to_yaml())
        where.rewrite(records)
    kept = [one for one in read_records(where.path / TRIALS) if isinstance(one, AttackRecord)]
    if [one.text for one in kept] != [one.text for one in records]:
        raise UserError(f"{where.path}: holds other texts; remove it or choose another --out")
    runner.run(scenario, where.path, jobs=jobs, events=events(scenario.name) if events else None)
    run = Run.of(read_records(where.path / TRIALS), where.manifest)
    return [_told(entry, run) for entry in texts]


def _told(entry: Entry, run: Run) -> Verified:
    effect = effect_of(run, entry.target, entry.seed, entry.effect.measure)
    answer: Answer
    if entry.effect.works:
        answer = "still works" if effect.works else "no longer works"
    else:
        answer = "works again" if effect.works else "still does not work"
    notes = []
    known, now = entry.provenance.get("catalog") or {}, run.section("catalog")
    if known.get("fingerprint") != now.get("fingerprint"):
        notes.append("the catalog has changed")
    models = {name: about.get("fingerprint") for name, about in run.section("models").items()}
    before = entry.provenance.get("models") or {}
    if {name: models.get(name) for name in before} != before:
        notes.append("the models have changed")
    return Verified(entry, effect, answer, tuple(notes))


def _record(entry: Entry) -> AttackRecord:
    """The attack line that a search would have written."""
    return AttackRecord(
        key=f"attack/{entry.target}/{entry.seed}",
        target=entry.target,
        field=entry.field,
        place=entry.place,
        seed=entry.seed,
        text=entry.text,
        history=entry.history,
        steps=entry.steps,
        best_step=entry.best_step,
        note=f"frozen text {entry.id}",
    )

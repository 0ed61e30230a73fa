"""Session logs as a run directory that `testbed show`, `report` and `compare` read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.errors import UserError, visible
from testbed.records import AttackRecord, EvaluationRecord
from testbed.serve.collect import Held, held_in, records_of
from testbed.serve.showing import ARMS, as_record
from testbed.store import RunDirectory

ORIGIN = "sessions"
"""Key of the manifest that says that a run was made from session logs."""


@dataclass(frozen=True, slots=True)
class Collected:
    """A run made from logs, and per arm how many sessions ended how."""

    run: RunDirectory
    counts: dict[str, dict[str, int]]
    tables: dict[str, Any]


def collect(logs: Sequence[Path], out: Path) -> Collected:
    """Make a run directory of session logs. UserError when `out` holds a run that was not made from logs."""
    from testbed.api import derive

    held = sorted(held_in(logs), key=_rank)
    records = [record for one in held for record in records_of(one)]
    _refuse_twice(records)
    directory = RunDirectory(out)
    with directory.locked():
        if directory.exists and ORIGIN not in directory.manifest:
            raise UserError(f"{out}: holds a run that was not made from session logs; choose another --out")
        directory.clear()
        directory.prepare(held[0].server.scenario)
        manifest = _manifest(held, records, logs)
        directory.write_manifest({**manifest, "state": "running"})
        directory.append([*_attacks(held), *_in_order(records, manifest)])
        directory.write_manifest(manifest)
    counts: dict[str, dict[str, int]] = {}
    for arm in dict.fromkeys(record.arm for record in records):
        counts[arm] = dict(Counter(record.status for record in records if record.arm == arm))
    return Collected(directory, counts, derive(out))


def _rank(one: Held) -> tuple[Any, ...]:
    server = one.server
    return (
        server.target or "",
        ARMS.index(server.arm) if server.arm in ARMS else len(ARMS),
        server.seed or 0,
    )


def _refuse_twice(records: Sequence[EvaluationRecord]) -> None:
    twice = [key for key, count in Counter(record.key for record in records).items() if count > 1]
    if twice:
        raise UserError(f"two sessions of one situation: {twice[0]}")


def _attacks(held: Sequence[Held]) -> list[AttackRecord]:
    found: dict[str, AttackRecord] = {}
    for one in held:
        if one.server.attack is not None:
            record = as_record(one.server.attack)
            first = found.setdefault(record.key, record)
            if (first.text, first.history) != (record.text, record.history):
                raise UserError(
                    f"the logs hold two texts of {record.key}; give each its own --seed when serving a --text"
                )
    return [found[key] for key in sorted(found)]


def _in_order(records: Sequence[EvaluationRecord], manifest: dict[str, Any]) -> list[EvaluationRecord]:
    """As a run would have written them: by target, order and request, then by arm."""
    requests = list(manifest["requests"])
    arms = manifest["arms"]

    def place(record: EvaluationRecord) -> tuple[Any, ...]:
        known = requests.index(record.request) if record.request in requests else len(requests)
        return record.target or "", record.order, known, arms.index(record.arm), record.seed or 0

    return sorted(records, key=place)


def _manifest(
    held: Sequence[Held], records: Sequence[EvaluationRecord], logs: Sequence[Path]
) -> dict[str, Any]:
    """The first server's, with what was held in the place of what was planned."""
    servers = [one.server for one in held]
    base = servers[0].manifest
    texts = {
        server.text
        for server in servers
        if server.attack and server.attack["note"] and server.arm == "attack"
    }
    targets = {record.target for record in records}
    situations = sorted(
        {(record.request, record.order, record.slot) for record in records}, key=lambda one: one[:2]
    )
    times = [
        str(line.time.get("at", ""))
        for one in held
        for visits in one.visits.values()
        for line in _lines(visits)
    ]
    clients = Counter(visible(visit.start.client) or "unnamed" for one in held for visit in one.counted())
    return {
        **base,
        "scenario_hash": f"{base['scenario_hash']}-{ORIGIN}",
        "state": "finished",
        "started": min(times, default=base["started"]),
        "finished": max(times, default=base["started"]),
        "targets": {item: about for item, about in base["targets"].items() if item in targets},
        "splits": {"test": [list(situation) for situation in situations]},
        "seeds": sorted({record.seed for record in records if record.seed is not None}) or [0],
        "arms": [arm for arm in ARMS if any(record.arm == arm for record in records)],
        "stack": [
            *base["stack"],
            {
                "name": "agent",
                "use": "serve",
                "inputs": [base["stack"][-1]["name"]],
                "options": dict(servers[0].shop),
                "deterministic": False,
            },
        ],
        "attack": {"use": "text given to testbed serve"} if texts else base["attack"],
        "reproducible": False,
        "notes": _notes(held, records, clients),
        "limit": None,
        ORIGIN: {"logs": [path.name for path in logs], "clients": dict(clients.most_common(20))},
    }


def _lines(visits: Sequence[Any]) -> list[Any]:
    return [line for visit in visits for line in (visit.start, *visit.calls)]


def _notes(held: Sequence[Held], records: Sequence[EvaluationRecord], clients: Counter[str]) -> list[str]:
    lost = sum(record.status == "error" for record in records)
    mute = sum(record.status == "refusal" for record in records)
    again = sum(len(attempts) > 1 for one in held for attempts in one.visits.values())
    who = ", ".join(f"{name} {count}x" for name, count in clients.most_common(5))
    notes = [
        f"Real agents were the victim, over MCP ({who}). "
        "First in a ranking is what the agent chose last, then come the other listings that it opened, first opened "
        "first; only rank 1 is the agent's own word.",
        "Agents sample: serve the arm clean_again as well for the noise floor.",
    ]
    if mute:
        notes.append(f"{mute} sessions ended without a choice; they count as a choice of something else.")
    if lost:
        notes.append(
            f"{lost} sessions were cut off (the server was killed); they are left out of every estimate."
        )
    if again:
        notes.append(f"{again} sessions were tried again; the first attempt that came to an end counts.")
    return notes

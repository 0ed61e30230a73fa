"""Session logs as evaluation records: what counts as a session's ranking, and which attempt counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import UserError
from testbed.records import EvaluationRecord, StageRank
from testbed.serve.lines import CallLine, EndLine, ServerLine, SessionLine
from testbed.serve.log import read

if TYPE_CHECKING:
    from testbed.types import Status

SEARCHED, OPENED, CHOSEN = "search", "open", "choose"
"""Stages of a visit, as the survival tables name them."""
RESULTS = ("search", "recommend")


@dataclass
class Visit:
    """One attempt at a session: its calls, and whether it ended in good order."""

    start: SessionLine
    calls: list[CallLine] = field(default_factory=list)
    ended: bool = False

    @property
    def choice(self) -> str | None:
        """The listing last chosen."""
        return next((call.ids[0] for call in reversed(self._answered("choose"))), None)

    @property
    def shown(self) -> tuple[str, ...]:
        """All listings that results held, in the order in which they were first shown."""
        return tuple(dict.fromkeys(item for call in self._answered(*RESULTS) for item in call.ids))

    @property
    def opened(self) -> tuple[str, ...]:
        """The listings that were opened, first opened first."""
        return tuple(dict.fromkeys(item for call in self._answered("open_listing") for item in call.ids))

    @property
    def over(self) -> bool:
        """Whether the visit says what the agent did: it chose, or left without a choice."""
        return self.choice is not None or self.ended

    def best_place(self, item: str) -> int | None:
        """The best place that a listing had in any results, from 1."""
        places = [call.ids.index(item) + 1 for call in self._answered(*RESULTS) if item in call.ids]
        return min(places, default=None)

    def _answered(self, *names: str) -> list[CallLine]:
        return [call for call in self.calls if call.tool in names and call.error is None and call.ids]


@dataclass
class Held:
    """Everything that was held under one arm: attempts by session number."""

    server: ServerLine
    visits: dict[int, list[Visit]] = field(default_factory=dict)

    def counted(self) -> list[Visit]:
        """One visit a session: the first attempt that is over, else the first one."""
        return [
            next((visit for visit in attempts if visit.over), attempts[0])
            for _, attempts in sorted(self.visits.items())
        ]


def held_in(paths: Iterable[Path]) -> list[Held]:
    """The sessions of several logs, by what their server showed. UserError for logs that do not go together."""
    held: dict[str, Held] = {}
    visits: dict[tuple[Path, str, int, int], Visit] = {}
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: there is no such session log")
        for line in read(path):
            if isinstance(line, ServerLine):
                held.setdefault(line.server, Held(line))
                continue
            key = (path, line.server, line.session, line.attempt)
            if isinstance(line, SessionLine):
                if line.server not in held:
                    raise UserError(
                        f"{path}: a session of a server that the log does not describe ({line.server})"
                    )
                visits[key] = Visit(line)
                held[line.server].visits.setdefault(line.session, []).append(visits[key])
            elif key not in visits:
                raise UserError(f"{path}: a {line.kind} of session {line.session}, which never began")
            elif isinstance(line, EndLine):
                visits[key].ended = True
            else:
                visits[key].calls.append(line)
    found = [one for one in held.values() if one.visits]
    _refuse_mixtures(found)
    return found


def records_of(held: Held) -> list[EvaluationRecord]:
    """One evaluation record a session that was begun."""
    return [_record(held.server, visit) for visit in held.counted()]


def _refuse_mixtures(held: Sequence[Held]) -> None:
    if not held:
        raise UserError("no session was held: the logs hold no call of a tool")
    first = held[0].server
    texts: dict[tuple[Any, ...], str] = {}
    for one in held:
        for part, value in one.server.shop.items():
            if value != first.shop.get(part):
                raise UserError(
                    f"the logs hold sessions of different set-ups ({part}: {first.shop.get(part)} and {value}); "
                    "only what was shown alike can be compared, collect them into runs of their own"
                )
        arm = (one.server.arm, one.server.seed, one.server.target)
        if texts.setdefault(arm, one.server.server) != one.server.server:
            raise UserError(
                f"the logs hold two different texts of arm {one.server.arm}, attack seed {one.server.seed}, target "
                f"{one.server.target}; serve each with a --seed of its own, or collect them into runs of their own"
            )


def _record(server: ServerLine, visit: Visit) -> EvaluationRecord:
    start, choice = visit.start, visit.choice
    status: Status = "ok" if choice is not None else "refusal" if visit.ended else "error"
    ranking = tuple(dict.fromkeys((choice, *visit.opened))) if choice is not None else ()
    seed = "-" if server.seed is None else server.seed
    place = f"{server.target or '-'}/{start.request}/{start.order}"
    return EvaluationRecord(
        key=f"evaluate/test/{place}/{server.arm}/{seed}/{server.replicate}",
        split="test",
        target=server.target,
        request=start.request,
        order=start.order,
        slot=start.slot,
        arm=server.arm,
        seed=server.seed,
        replicate=server.replicate,
        ranking=ranking,
        pool=visit.shown,
        stages=_stages(server.target, visit),
        status=status,
        note=_note(visit),
        cost=_cost(visit),
    )


def _stages(target: str | None, visit: Visit) -> tuple[StageRank, ...]:
    """Was the target shown, was it opened, was it chosen? Ranks: place in results, place in the order of opening, 1."""
    shown = visit.best_place(target) if target else None
    opened = visit.opened.index(target) + 1 if target in visit.opened else None
    chosen = 1 if target is not None and visit.choice == target else None
    return (
        StageRank(SEARCHED, None, shown, len(visit.shown)),
        StageRank(OPENED, shown, opened, len(visit.opened)),
        StageRank(CHOSEN, opened, chosen, int(visit.choice is not None)),
    )


def _note(visit: Visit) -> str:
    asked = [call for call in visit.calls if call.error is None]
    wrong = len(visit.calls) - len(asked)
    parts = [f"session {visit.start.session}, attempt {visit.start.attempt}", f"{len(visit.calls)} calls"]
    parts += [f"{wrong} refused"] if wrong else []
    if visit.choice is None:
        parts.append("ended without a choice" if visit.ended else "cut off before a choice")
    return "; ".join(parts)


def _cost(visit: Visit) -> dict[str, int]:
    cost = {"calls": len(visit.calls), "queries": 0, "tokens": 0, "computed": 0}
    for call in visit.calls:
        for unit, amount in call.cost.items():
            cost[unit] = cost.get(unit, 0) + amount
    return cost

"""What a run writes down: one attack line per target and seed, one evaluation line per ranking.

`trials.jsonl` is the truth; tables and reports can be deleted and rebuilt from it and the manifest.
Every field is described in docs/schemas.md.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from testbed.errors import UserError, shown
from testbed.types import HistoryEdit, Place, Status

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Stopped = Literal["steps", "queries", "tokens", "gradient_calls", "seconds", "finished", "reached"]
"""Why an attack ended: which budget ran out, the attack had no more to propose, or its goal was reached."""


_FINITE = {"allow_inf_nan": False}


class RecordError(UserError):
    """A line that is not a record; the message begins with file:line."""


@dataclasses.dataclass(frozen=True, slots=True)
class StageRank:
    """Where the target stood before and after one stage, and how many listings the stage let through.

    `detail`: what the stage told of its way there (plans, scores by reasoning step), where it tells anything.
    """

    stage: str
    rank_in: int | None
    rank_out: int | None
    pool: int
    detail: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AttackRecord:
    """The text that one attack seed arrived at for one target, and what it took.

    `objective` is the attacker's loss of that text (lower is better), `best_step` the step that proposed it.
    `source`: the stack that was searched on, None for the scenario's own (or its surrogates). `history`: items that
    are put into the histories of requests, in the order of the edits.
    """

    __pydantic_config__: ClassVar[Mapping[str, bool]] = _FINITE

    kind: Literal["attack"] = "attack"
    key: str
    target: str
    field: str
    place: Place = "append"
    seed: int
    text: str
    initial_objective: float | None = None
    objective: float | None = None
    steps: int = 0
    best_step: int = 0
    stopped: Stopped = "finished"
    status: Literal["ok", "error"] = "ok"
    note: str = ""
    cost: Mapping[str, int | float] = dataclasses.field(default_factory=dict)
    source: str | None = None
    history: tuple[HistoryEdit, ...] = ()

    @property
    def idle(self) -> bool:
        """Whether it changes nothing."""
        return not self.text and not self.history

    @property
    def unstarted(self) -> bool:
        """Whether its budget ended before its first step, so that its text is at most what it starts from."""
        return self.status == "ok" and not self.steps and self.stopped not in ("finished", "reached")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRecord:
    """The ranking that one request in one presentation order got under one arm.

    `ranking`: item ids, best first; listings that were not ranked are absent. `scores`: (len(ranking),) of
    the last stage or None; null for a score that is not finite. `pool`: what the last stage was shown, in
    presentation order. `source`: whose text an attack arm has, `victim`: which stack ranked; None for the scenario's
    own. `observed`: what observers told of the answer, by name. ValueError when an item is ranked twice or scores and
    ranking differ in length.
    """

    __pydantic_config__: ClassVar[Mapping[str, bool]] = _FINITE

    kind: Literal["evaluation"] = "evaluation"
    key: str
    split: Literal["optimise", "validate", "test"]
    target: str | None = None
    request: str
    order: int
    slot: int | None = None
    arm: str
    seed: int | None = None
    replicate: int = 0
    ranking: tuple[str, ...] = ()
    scores: tuple[float | None, ...] | None = None
    pool: tuple[str, ...] = ()
    stages: tuple[StageRank, ...] = ()
    status: Status = "ok"
    note: str = ""
    cost: Mapping[str, int | float] = dataclasses.field(default_factory=dict)
    source: str | None = None
    victim: str | None = None
    observed: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(set(self.ranking)) != len(self.ranking):
            twice = next(item for item in self.ranking if self.ranking.count(item) > 1)
            raise ValueError(f"ranking lists {shown(twice)} more than once")
        if self.scores is not None and len(self.scores) != len(self.ranking):
            raise ValueError(f"{len(self.scores)} scores for {len(self.ranking)} ranked items")


Record = AttackRecord | EvaluationRecord
OPTIONAL = ("source", "victim", "history", "detail", "observed")
"""Fields that are written only where they say something."""


def to_line(record: Record) -> str:
    """One line of JSON without its newline: fields in class order, ASCII, non-finite numbers as null."""
    return json.dumps(_plain(record), ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def from_line(line: str | bytes, where: str = "record") -> Record:
    """The record on a line; `where` (file:line) begins the message of the RecordError for anything else.

    Fields that this version does not know are passed over, so newer files stay readable.
    """
    from pydantic import ValidationError

    try:
        return _adapter().validate_json(line)
    except ValidationError as error:
        raise RecordError(f"{where}: not a record: {_first(error)}") from None


def read_records(path: str | Path) -> list[Record]:
    """All records of a file in file order. A last line without its newline is torn and left out.

    RecordError naming file:line for garbage and for a key that appears twice; UserError for a file that
    cannot be read.
    """
    return list(iter_records(path))


def iter_records(path: str | Path) -> Iterator[Record]:
    """Like `read_records`, one at a time."""
    path = Path(path)
    seen: dict[str, int] = {}
    try:
        stream = path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    with stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                return
            record = from_line(line, f"{path}:{number}")
            first = seen.setdefault(record.key, number)
            if first != number:
                again = f"key {shown(record.key)} appears twice (first on line {first})"
                raise RecordError(f"{path}:{number}: {again}")
            yield record


def whole_bytes(path: str | Path) -> int:
    """How many bytes of a file are whole lines; what follows is torn and may be cut off before appending."""
    size = end = 0
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            newline = block.rfind(b"\n")
            if newline >= 0:
                end = size + newline + 1
            size += len(block)
    return end


@cache
def _adapter() -> TypeAdapter[Record]:
    from pydantic import Field, TypeAdapter

    return TypeAdapter(Annotated[AttackRecord | EvaluationRecord, Field(discriminator="kind")])


def _plain(value: Any) -> Any:
    """JSON values of a record, recursively."""
    if isinstance(value, AttackRecord | EvaluationRecord | StageRank | HistoryEdit):
        named = {part.name: getattr(value, part.name) for part in dataclasses.fields(value)}
        return {
            name: _plain(part)
            for name, part in named.items()
            if name not in OPTIONAL or part not in (None, (), {})
        }
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str) and not value.isascii():
        # Half a surrogate pair is no character and could not be read back.
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


def _first(error: Any) -> str:
    """The first complaint of a pydantic error, with the field it is about."""
    fault = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in fault["loc"] if part not in ("attack", "evaluation"))
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message

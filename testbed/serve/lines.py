"""The lines of a session log: what a server shows, which sessions were held, every call, and how they ended.

One JSON object a line. What is under `time` never repeats; everything else does, for the same calls.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt


class Line(BaseModel):
    """What all lines have. Fields that this version does not know are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    server: str
    """Digest of what the server showed: arm, text, tools, scenario."""
    time: dict[str, Any] = {}
    """When, and how long it took."""


class ServerLine(Line):
    """What a server showed; once in a log."""

    kind: Literal["server"] = "server"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    arm: str
    seed: NonNegativeInt | None
    replicate: NonNegativeInt
    target: str | None
    text: str
    shop: dict[str, Any]
    """What must be the same for sessions to be compared: scenario, catalog, tools, what `search` returns."""
    attack: dict[str, Any] | None
    """The attack line of the text."""
    manifest: dict[str, Any]
    scenario: str


class SessionLine(Line):
    """A session begins: the situation of the plan that it is held in."""

    kind: Literal["session"] = "session"
    session: NonNegativeInt
    attempt: NonNegativeInt
    request: str
    order: int
    slot: int | None
    client: str = ""


class CallLine(Line):
    """One call of a tool. `ids`: the listings that its answer was about, as they were shown."""

    kind: Literal["call"] = "call"
    session: NonNegativeInt
    attempt: NonNegativeInt
    call: NonNegativeInt
    tool: str
    arguments: Any = None
    error: str | None = None
    ids: tuple[str, ...] = ()
    cost: dict[str, int] = {}


class EndLine(Line):
    """The client left, or the server was stopped in good order."""

    kind: Literal["end"] = "end"
    session: NonNegativeInt
    attempt: NonNegativeInt


AnyLine = Annotated[ServerLine | SessionLine | CallLine | EndLine, Field(discriminator="kind")]

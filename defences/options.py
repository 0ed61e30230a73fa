"""Options of defences that may stand around a stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from pydantic import model_validator

from testbed.protocols import Access, Charge, Plugin, StagePlugin


class Wrapper(StagePlugin):
    """Base of defences that stand around a stage: `{use: vote, over: {use: llm}}`."""

    over: StagePlugin
    """The stage that is defended."""

    @property
    def copies(self) -> int:
        """How often the stage is asked for one ranking."""
        return 1

    @property
    def grants(self) -> Access:  # type: ignore[override]
        """What the stage grants: an attacker may go through the defence."""
        return self.over.grants

    @property
    def counts_tokens(self) -> bool:  # type: ignore[override]
        """Whether the stage does."""
        return self.over.counts_tokens

    @property
    def deterministic(self) -> bool:
        """Whether the stage is."""
        return self.over.deterministic

    @property
    def field_characters(self) -> int | None:
        """What the stage does."""
        return self.over.field_characters

    def charge(self, tokens: int, listings: int) -> Charge | None:
        """What the stage takes, for every copy."""
        return times(self.over.charge(tokens, listings), self.copies)

    @model_validator(mode="after")
    def _takes_one(self) -> Self:
        one_input(self.over)
        return self


class Around(StagePlugin):
    """Base of defences that are a stage of their own, or stand around one where `over` names it.

    Around a stage, an attacker's gradients pass by the defence, whose answers are in the scores.
    """

    over: StagePlugin | None = None
    """A stage to stand around. Left out, the defence is a stage of the stack itself."""

    @property
    def grants(self) -> Access:  # type: ignore[override]
        """Scores of its own, or what the stage around which it stands grants."""
        return Access.scores if self.over is None else self.over.grants

    @property
    def counts_tokens(self) -> bool:  # type: ignore[override]
        """Whether the stage does, if there is one; the defence itself none."""
        return self.over is not None and self.over.counts_tokens

    @property
    def deterministic(self) -> bool:
        """Whether the stage is, if there is one."""
        return self.over is None or self.over.deterministic

    @property
    def field_characters(self) -> int | None:
        """What the stage does, if there is one."""
        return None if self.over is None else self.over.field_characters

    def charge(self, tokens: int, listings: int) -> Charge | None:
        """What the stage takes, if there is one."""
        return None if self.over is None else self.over.charge(tokens, listings)

    @model_validator(mode="after")
    def _takes_one(self) -> Self:
        if self.over is not None:
            one_input(self.over)
        return self


def as_json(plugin: Plugin, without: Sequence[str] = ()) -> dict[str, Any]:
    """All options of a plug-in, those of plug-ins in it too, as JSON values."""
    own = plugin.model_dump(mode="json")
    inner = {name: getattr(plugin, name) for name in type(plugin).model_fields if name not in without}
    return {"use": f"{type(plugin).__module__}.{type(plugin).__qualname__}"} | {
        name: as_json(value)
        if isinstance(value, Plugin)
        else [as_json(one) for one in value]
        if isinstance(value, tuple) and value and isinstance(value[0], Plugin)
        else own[name]
        for name, value in inner.items()
    }


def times(charge: Charge | None, count: int) -> Charge | None:
    """A charge as often as it is made."""
    if charge is None:
        return None
    money = None if charge.money is None else count * charge.money
    return Charge(count * charge.requests, count * charge.input_tokens, count * charge.output_tokens, money)


def one_input(over: StagePlugin) -> None:
    """ValueError for a stage that joins several rankings: a defence has one to hand on."""
    if over.inputs[0] > 1:
        raise ValueError(
            f"{type(over).__name__} joins several rankings; a defence can only stand around one of one"
        )

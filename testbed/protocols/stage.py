"""What a stage is, what it is told, and what it may be able to do besides ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol, runtime_checkable

from testbed.types import Intervention, Request, Situation, Slate


class Access(IntEnum):
    """What an attacker may see of the stack; each level includes the ones before it."""

    none = 0
    ranks = 1
    scores = 2
    gradients = 3


@dataclass(frozen=True, slots=True)
class Context:
    """What a stage knows besides its input: the request, the presentation order and its own noise.

    `situation` carries the presentation order and, through `arrange`, the order itself.
    `seed` is derived from (request, order, replicate, stage), never from the arm.
    `memo` lives as long as one trial: a stage may keep there what it would only compute again.
    """

    request: Request
    situation: Situation
    target_id: str | None
    seed: int
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def arrange(self, slate: Slate) -> Slate:
        """The slate in this context's presentation order (see `testbed.orders`)."""
        from testbed.orders import arrange

        return arrange(slate, self.situation, self.target_id)


@runtime_checkable
class Stage(Protocol):
    """Ranks, filters or rewrites a slate. Must be a pure function of its arguments."""

    def __call__(self, context: Context, *inputs: Slate) -> Slate: ...


@runtime_checkable
class Batched(Protocol):
    """A stage that answers several calls at once more cheaply, with the answers of one-by-one calls."""

    def many(self, calls: Sequence[tuple[Context, tuple[Slate, ...]]]) -> list[Slate]: ...


@runtime_checkable
class Editable(Protocol):
    """A stage that indexes the catalog and can re-index edited items without a rebuild."""

    def with_edits(self, intervention: Intervention) -> Stage: ...


@runtime_checkable
class Priced(Protocol):
    """A stage that can tell beforehand how many tokens a call has, so that a budget is never overdrawn."""

    def price(self, context: Context, slate: Slate) -> int: ...


@runtime_checkable
class Tokenized(Protocol):
    """A stage whose victim reads tokens; length-matched controls are measured in them."""

    def encode(self, text: str) -> list[int]: ...

    def decode(self, token_ids: Sequence[int]) -> str: ...

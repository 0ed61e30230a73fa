"""Stages that write text of their own, and stages that tell which text they look for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from testbed.protocols.scoring import Probe
from testbed.protocols.stage import Context
from testbed.types import Slate, Target, Usage


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next tokens of a text are drawn from a model's own distribution.

    `temperature`: 0 takes the likeliest instead of drawing. `top_k`: only from so many likeliest tokens.
    `top_p`: only from the likeliest that together have this probability (at temperature 1). `accept`:
    whether a text may be proposed; by default every text.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    accept: Callable[[str], bool] = bool


@dataclass(frozen=True, slots=True)
class Continuation:
    """The text of an edit, grown by one token.

    `text` is the whole of it; `tokens`: how many it has in place; `log_prob` of the new one under the model
    as it is (no temperature, nothing cut off).
    """

    text: str
    tokens: int
    log_prob: float


@runtime_checkable
class Proposing(Protocol):
    """A stage whose model writes text and can tell how an edit may go on where it stands."""

    def continuations(
        self, probe: Probe, target: Target, count: int, seed: int, sampling: Sampling
    ) -> tuple[list[list[Continuation]], Usage]:
        """Per slate up to `count` different texts, drawn without replacement from p(next token | prompt so far).

        The prompt ends with the edit that the slate carries; without one, where an edit would begin. Every
        text is tokenised in place as the edit's tokens and one more. Nothing for a slate whose target is
        missing or whose edit does not stand in the prompt as itself. Same seed, same texts.
        """


@dataclass(frozen=True, slots=True)
class Piece:
    """A text that a stage looks for, in whole words, and what it adds to the score of a listing that holds it.

    `weight`: above 0, in the stage's own units. `known`: whether some listing holds it already.
    """

    text: str
    weight: float
    known: bool = True


@dataclass(frozen=True, slots=True)
class Sought:
    """What a stage looks for on one request: different pieces, heaviest first.

    `summed`: whether the pieces that a listing holds add up (those that overlap count once, the heavier first);
    otherwise the heaviest of them counts alone.
    """

    pieces: tuple[Piece, ...]
    summed: bool = True


@runtime_checkable
class Seeking(Protocol):
    """A stage that ranks listings by pieces of text that it looks for in them, and can tell which."""

    def sought(self, calls: Sequence[tuple[Context, Slate]], target: Target) -> tuple[list[Sought], Usage]:
        """What it looks for on each call and would find in the target's field, with blanks around it.

        Pieces that no listing holds yet are told as well, with the weight that they would have in one.
        """

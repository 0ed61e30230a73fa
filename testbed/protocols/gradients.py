"""How a stage shows gradients with respect to the tokens of an edit, and its view of those tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from testbed.protocols.scoring import Objective, Scorable
from testbed.protocols.stage import Context
from testbed.types import Slate, Target, Usage

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class TokenGradient:
    """Gradient of the objective with respect to the one-hot tokens of the edited text.

    `token_ids`: (L,) as tokenised in context. `gradient`: (L, V) float32.
    """

    token_ids: tuple[int, ...]
    gradient: Tensor
    loss: float


@runtime_checkable
class Differentiable(Scorable, Protocol):
    """A scorable stage that also grants gradients and a view of its vocabulary."""

    def gradient(
        self, context: Context, slate: Slate, target: Target, objective: Objective
    ) -> tuple[TokenGradient, Usage]:
        """Gradient for a slate whose target listing carries the edit. ValueError when there is no edit in it."""

    def surface(self, target: Target) -> Surface: ...


class Surface(Protocol):
    """How text written by an attacker looks to a stage's tokenizer, in context."""

    @property
    def pieces(self) -> Sequence[str]:
        """The text of every token of the vocabulary; '' for special tokens."""

    @property
    def answer(self) -> str:
        """How an answer begins that recommends the target first, on one line; the name where there is no answer."""

    def encode(self, texts: Sequence[str]) -> list[tuple[int, ...] | None]:
        """Tokens that each text occupies once rendered in place; None when it does not survive as itself."""

    def decode(self, token_ids: Sequence[Sequence[int]]) -> list[str]:
        """The text of each token sequence."""

"""How a stage that scores listings is asked, and what an objective makes of its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from testbed.protocols.stage import Context
from testbed.types import Slate, Usage

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of every listing of a slate under one stage, as tensors so that an objective may differentiate.

    They are what the stage ranks by. `total`: (batch, n) summed log-probabilities, less those under a neutral
    request where the stage subtracts its prior, or retrieval scores. `length`: (n,) tokens a name has
    (ones for retrieval scores). `target`: column of the target. When an objective asks for no rivals,
    only the target's column is there and `target` is 0. Only on demand, else None: `fluency`: (batch,) mean
    negative log-likelihood of the edit's tokens where they stand, nats per token; `entries`: (batch, K)
    the same (summed log-probability, prior subtracted) of the target's name as the 1st to Kth entry of an answer
    that is otherwise the unedited one.
    """

    total: Tensor
    length: Tensor
    target: int
    fluency: Tensor | None = None
    entries: Tensor | None = None


class Objective(Protocol):
    """A loss over scores, lower is better for the attacker: (batch, n) → (batch,)."""

    @property
    def rivals(self) -> bool:
        """Whether the scores of the other listings are needed."""

    @property
    def fluent(self) -> bool:
        """Whether the likelihood of the edit itself is needed (`Scores.fluency`)."""

    @property
    def listed(self) -> int:
        """How many entries of an answer are needed (`Scores.entries`); 0 for none."""

    def __call__(self, scores: Scores) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Probe:
    """One question to a scorable stage: the slate as it would be with each of several edits to one listing.

    `slates` differ only in the target's listing, which a defence may have dropped from some; `context` and presentation
    order are shared.
    """

    context: Context
    slates: Sequence[Slate]


@runtime_checkable
class Scorable(Protocol):
    """A stage that can tell how it scores the target, for many variants of one slate at once."""

    def losses(self, probe: Probe, objective: Objective) -> tuple[np.ndarray, Usage]:
        """Objective of each variant: (len(slates),) float64, never nan; inf where the target is not listed."""


@runtime_checkable
class ScorableTogether(Scorable, Protocol):
    """A scorable stage that answers several probes at once more cheaply."""

    def losses_of(self, probes: Sequence[Probe], objective: Objective) -> tuple[list[np.ndarray], Usage]: ...


@runtime_checkable
class Screening(Scorable, Protocol):
    """A scorable stage that scores many variants close to a known one more cheaply."""

    def screen(
        self, probes: Sequence[Probe], bases: Sequence[Slate], objective: Objective, recompute: int | None
    ) -> tuple[list[np.ndarray], Usage]:
        """Like `losses` of each probe, whose variants are close to a base.

        With a number to `recompute`, an approximation: what follows the edit is taken as computed for the base,
        but for so many last tokens.
        """

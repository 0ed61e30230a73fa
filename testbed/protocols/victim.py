"""The stack as an attacker may see it, and what an attack proposes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from testbed.protocols.gradients import Surface, TokenGradient
from testbed.protocols.proposing import Continuation, Sampling, Sought
from testbed.types import Intervention, Request, Situation

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Step:
    """One proposal of an attack: the intervention it stands behind now and its objective (lower is better)."""

    intervention: Intervention
    objective: float | None = None


class Victim(Protocol):
    """The stack as an attacker may see it. Every call is refused above the access level and metered."""

    @property
    def situations(self) -> Sequence[Situation]:
        """The (request, order) pairs that the attacker may optimise on."""

    @property
    def remaining(self) -> Mapping[str, float]:
        """What is left of each budgeted unit; units without a limit are absent."""

    @property
    def items(self) -> Sequence[str]:
        """Ids of all listings, in the catalog's order."""

    @property
    def history(self) -> int:
        """Most items that may be put into histories (`HistoryEdit`); 0 where they are out of reach."""

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Names of the stages that are seen, in the order of the stack, those side by side together."""

    def request(self, situation: Situation) -> Request:
        """The request of a situation."""

    def listing(self, item_id: str) -> Mapping[str, str]:
        """The public fields of a listing."""

    def name(self, item_id: str) -> str:
        """The name of a listing."""

    def ranks(
        self, interventions: Sequence[Intervention], situations: Sequence[Situation] | None = None
    ) -> list[list[int | None]]:
        """Rank of the first target per (intervention, situation); needs `ranks`."""

    def objective(
        self, interventions: Sequence[Intervention], situations: Sequence[Situation] | None = None
    ) -> np.ndarray:
        """Objective per (intervention, situation), inf where the target was dropped; needs `scores`.

        With `threat.stages`, a stage that dropped the target and is one of them puts 500 to 1,000 in the place of inf.
        """

    def screen(
        self,
        interventions: Sequence[Intervention],
        base: Intervention,
        situations: Sequence[Situation] | None = None,
        *,
        recompute: int | None = 8,
    ) -> np.ndarray:
        """`objective`, approximately, for interventions close to `base`; exact where a stage knows no better."""

    def gradients(
        self,
        intervention: Intervention,
        situations: Sequence[Situation] | None = None,
        *,
        stages: Collection[str] | None = None,
    ) -> dict[str, TokenGradient]:
        """Mean gradient over situations per differentiable stage that is seen, of all or only of `stages`; needs
        `gradients`. A stage that is shown the target in none of the situations is left out.
        """

    def surfaces(self) -> dict[str, Surface]:
        """The tokenizer's view of the edit per differentiable stage; needs `gradients`."""

    def continuations(
        self,
        interventions: Sequence[Intervention],
        count: int,
        seed: int,
        *,
        situation: Situation | None = None,
        sampling: Sampling | None = None,
    ) -> list[list[Continuation]]:
        """Texts that grow each edit by one token of the model's own, see `Proposing`; needs `scores`."""

    def sought(
        self, intervention: Intervention = (), situations: Sequence[Situation] | None = None
    ) -> dict[str, list[Sought]]:
        """What every stage that the attacker sees looks for, per situation, see `Seeking`; needs `scores`."""

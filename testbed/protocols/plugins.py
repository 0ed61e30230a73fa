"""Bases of plug-ins: their fields are their options in a scenario file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from testbed.protocols.scoring import Scores
from testbed.protocols.stage import Access, Context, Stage
from testbed.protocols.victim import Step, Victim
from testbed.types import Slate, Target

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from testbed.catalog import Catalog
    from testbed.environment import Environment


@dataclass(frozen=True, slots=True)
class Charge:
    """What a paid service is estimated to take for one ranking; `money` is None where no price is given."""

    requests: int
    input_tokens: int
    output_tokens: int
    money: float | None = None


class Plugin(BaseModel):
    """Base of every plug-in: immutable, unknown options refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def about(cls) -> str:
        """One line on what it is: the first of the class's docstring."""
        lines = (cls.__doc__ or "").strip().splitlines()
        return lines[0] if lines else ""


class StagePlugin(Plugin):
    """Options of a stage; `build` makes the stage for a catalog."""

    inputs: ClassVar[tuple[int, int]] = (1, 1)
    """Fewest and most slates it takes."""
    grants: ClassVar[Access] = Access.gradients
    """The most that its stage can show an attacker where it is the last one; checked before anything is built."""
    detects: ClassVar[bool] = False
    """Whether its stage judges listings by themselves (`Detecting`), so that it is named among the detectors."""
    counts_tokens: ClassVar[bool] = True
    """Whether rankings are charged with tokens (`Usage.tokens`); an estimate has none where no stage is."""

    @property
    def deterministic(self) -> bool:
        """False when the same input may rank differently under another context seed."""
        return True

    @property
    def field_characters(self) -> int | None:
        """Characters of a field that its stage reads, what is behind them being cut; None for all."""
        return None

    def charge(self, tokens: int, listings: int) -> Charge | None:
        """What one ranking takes of a paid service: so many listings, in a prompt of roughly so many tokens.

        None where nothing leaves the machine.
        """
        return None

    def build(self, catalog: Catalog, env: Environment) -> Stage:
        """The stage for a catalog; heavy resources come from `env`."""
        raise NotImplementedError


class AttackPlugin(Plugin):
    """Options of an attack; calling it yields steps, and the runner owns the loop.

    `access` is what it needs to see; where that depends on the options, make it a property.
    """

    access: ClassVar[Access] = Access.none

    @property
    def inserts(self) -> int:
        """Most items that it puts into histories; `threat.history` has to allow as many."""
        return 0

    def queries_per_step(self, situations: int) -> int | None:
        """Most queries that one step takes on that many situations; None when it cannot be told."""
        return None

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        raise NotImplementedError


class ObjectivePlugin(Plugin):
    """Options of an objective; instances are objectives themselves."""

    rivals: ClassVar[bool] = False

    @property
    def fluent(self) -> bool:
        """Whether the likelihood of the edit itself is needed."""
        return False

    @property
    def listed(self) -> int:
        """How many entries of an answer are needed."""
        return 0

    def __call__(self, scores: Scores) -> Tensor:
        raise NotImplementedError


class CatalogPlugin(Plugin):
    """Options of a catalog; `load` reads it."""

    def load(self) -> Catalog:
        raise NotImplementedError


class Observer(Protocol):
    """Tells numbers about the answer of a stack, whatever the stack is; sees no more than who gets the answer."""

    def __call__(self, context: Context, slate: Slate) -> Mapping[str, float]:
        """Name → number; what is not defined is left out. A pure function; costs no query."""


class ObserverPlugin(Plugin):
    """Options of an observer; `build` makes it for a catalog."""

    tells: ClassVar[tuple[str, ...]] = ()
    """Names of the numbers, which measures go by."""

    def build(self, catalog: Catalog, env: Environment) -> Observer:
        """The observer for a catalog; heavy resources come from `env`."""
        raise NotImplementedError


class TrainerPlugin(Plugin):
    """Options of a training; `train` does it."""

    def train(self, folder: Path, env: Environment) -> None:
        """Train into a folder, going on with what an earlier call left there. UserError where it cannot."""
        raise NotImplementedError


CatalogPath = Annotated[Path, "path relative to the scenario file"]
"""Type of an option that names a file or folder; a scenario resolves it against its own folder."""


Options = Mapping[str, Any]

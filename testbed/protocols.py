"""What plug-ins implement: stages, attacks, objectives, catalogs; and what they are given in return.

A plug-in is a frozen pydantic model whose fields are its options in a scenario file. Optional abilities
of a built stage are protocols of their own, found by `isinstance`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from testbed.types import Intervention, Listing, Request, Situation, Slate, Target, Usage

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from testbed.catalog import Catalog
    from testbed.environment import Environment


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

    `slates` differ only in the target's listing; `context` and presentation order are shared.
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


class Verdict(NamedTuple):
    """What a detector says of one listing: a higher score is more suspicious. `note`: why, in words."""

    score: float
    threshold: float
    flagged: bool
    note: str = ""


@runtime_checkable
class Detecting(Protocol):
    """A stage that can tell a suspicious listing by its fields alone, without a request (`testbed audit`)."""

    def verdicts(self, listings: Sequence[Listing]) -> Sequence[Verdict]:
        """One verdict a listing, in their order."""


@dataclass(frozen=True, slots=True)
class Step:
    """One proposal of an attack: the intervention it stands behind now and its objective (lower is better)."""

    intervention: Intervention
    objective: float | None = None


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

    @property
    def deterministic(self) -> bool:
        """False when the same input may rank differently under another context seed."""
        return True

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


CatalogPath = Annotated[Path, "path relative to the scenario file"]
"""Type of an option that names a file or folder; a scenario resolves it against its own folder."""

Options = Mapping[str, Any]

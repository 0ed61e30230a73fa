"""What a scenario file declares, as frozen models. `testbed.scenario.load` reads and checks one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    field_validator,
    model_validator,
)

from testbed.environment import Environment
from testbed.errors import Fault, UserError, hinted, listed, shown
from testbed.protocols import Access, AttackPlugin, CatalogPlugin, ObjectivePlugin, Plugin, StagePlugin
from testbed.scenario.fields import ARMS, Arm, Name, Requests, Seeds, Slots, Slug
from testbed.types import Place, Target

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.scenario.source import Source

MEASURES = ("nDCG@10", "RR")
ATTACK_MEASURES = (*MEASURES, "lift@1", "lift@3", "promoted", "harm")
SOURCE = "source"
"""The name under which a stage takes the whole catalog as its input."""


class Section(BaseModel):
    """A part of a scenario: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Choice(BaseModel):
    """A plug-in by name, with its options beside the name: `{use: gcg, tokens: 20}`."""

    model_config = ConfigDict(frozen=True, extra="allow")
    kind: ClassVar[str]

    use: Name
    _plugin: Plugin | None = PrivateAttr(None)

    @property
    def options(self) -> dict[str, Any]:
        """The plug-in's options: as written, and complete with defaults once a scenario is checked."""
        return dict(self.model_extra or {})

    def _resolved(self) -> Plugin:
        if self._plugin is None:
            raise UserError(
                f"{self.use!r} is not resolved; make scenarios with testbed.scenario.load or from_mapping"
            )
        return self._plugin


class CatalogChoice(Choice):
    """Where items, requests and judgements come from."""

    kind: ClassVar[str] = "catalogs"

    @property
    def plugin(self) -> CatalogPlugin:
        """The checked options, ready to `load`."""
        return cast("CatalogPlugin", self._resolved())


class StageChoice(Choice):
    """One stage of the stack. `name` defaults to `use`, `from` to the stage before (first: the catalog)."""

    kind: ClassVar[str] = "stages"

    name: Name = ""
    inputs: Annotated[
        tuple[Name, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
    ] = Field((), alias="from")

    @property
    def plugin(self) -> StagePlugin:
        """The checked options, ready to `build`."""
        return cast("StagePlugin", self._resolved())


class ObjectiveChoice(Choice):
    """What the attacker minimises."""

    kind: ClassVar[str] = "objectives"

    @property
    def plugin(self) -> ObjectivePlugin:
        """The checked options: the objective itself."""
        return cast("ObjectivePlugin", self._resolved())


class AttackChoice(Choice):
    """How the attacker searches, and for what."""

    kind: ClassVar[str] = "attacks"

    objective: ObjectiveChoice | None = None

    @property
    def plugin(self) -> AttackPlugin:
        """The checked options: the attack itself."""
        return cast("AttackPlugin", self._resolved())


class Budget(Section):
    """What an attacker may spend for each target and seed. The first limit reached ends the attack."""

    steps: int | None = Field(None, ge=0)
    queries: int | None = Field(None, ge=0)
    tokens: int | None = Field(None, ge=0)
    gradient_calls: int | None = Field(None, ge=0)
    seconds: float | None = Field(None, ge=0)

    def limits(self) -> dict[str, float]:
        """Unit → limit; units without a limit are absent."""
        return {unit: limit for unit, limit in self if limit is not None}


def _access(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in Access.__members__:
        names = list(Access.__members__)
        raise ValueError(hinted(f"expected one of {listed(names)}; got {shown(value)}", value, names))
    return Access[value]


class Threat(Section):
    """What the attacker may see, where text may be written, and what it may cost.

    `max_tokens`: longest text in the victim's tokens.
    """

    access: Annotated[Access, BeforeValidator(_access), PlainSerializer(lambda access: access.name)] = (
        Access.none
    )
    field: Name
    place: Place = "append"
    budget: Budget = Budget()
    max_tokens: int | None = Field(None, ge=1)


class Targets(Section):
    """The listings under attack, each on its own."""

    items: tuple[Name, ...] = Field(min_length=1)

    @field_validator("items")
    @classmethod
    def _once(cls, items: tuple[str, ...]) -> tuple[str, ...]:
        return _unique(items, "item")


class Split(Section):
    """Requests (ids, a number to draw, or `all` that no other split names) and orders of each."""

    requests: Requests
    orders: int = Field(ge=1)

    @field_validator("requests")
    @classmethod
    def _once(cls, requests: int | str | tuple[str, ...]) -> int | str | tuple[str, ...]:
        return _unique(requests, "request") if isinstance(requests, tuple) else requests


class Optimise(Split):
    """What the attacker optimises on. `slots`: where the target stands in the orders."""

    requests: Requests = 2
    orders: int = Field(3, ge=1)
    slots: Slots = "spread"


class Validate(Split):
    """What the best of several attack seeds is chosen on."""

    requests: Requests = 2
    orders: int = Field(4, ge=1)


class Evaluate(Split):
    """What the results are measured on. `arms` defaults to all with an attack, else to `clean`."""

    requests: Requests = "all"
    orders: int = Field(20, ge=1)
    arms: tuple[Arm, ...] = ("clean",)

    @field_validator("arms")
    @classmethod
    def _with_clean(cls, arms: tuple[str, ...]) -> tuple[str, ...]:
        if "clean" not in arms:
            raise ValueError("the arm 'clean' is missing; every other arm is measured against it")
        return _unique(arms, "arm")


class Machine(Section):
    """Where the work happens; `auto` leaves the choice to what the machine supports."""

    device: Name = "auto"
    dtype: Name = "auto"
    threads: int | None = Field(None, ge=1)

    def environment(self) -> Environment:
        """The environment that plug-ins are built in."""
        return Environment(self.device, self.dtype, self.threads)


class Scenario(BaseModel):
    """One experiment. Equal and hashed by what it says, wherever it was written."""

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))

    version: Literal[1]
    name: Slug
    catalog: CatalogChoice
    stack: tuple[StageChoice, ...] = Field(min_length=1)
    attack: AttackChoice | None = None
    threat: Threat | None = None
    targets: Targets | None = None
    hold_out: Literal["requests", "orders"] = "requests"
    """`requests`: no request is in two splits. `orders`: splits may share requests, never an order."""
    optimise: Optimise = Optimise()
    validation: Validate = Field(Validate(), alias="validate")
    evaluate: Evaluate = Evaluate()
    measures: tuple[Name, ...] = MEASURES
    seeds: Seeds = (0,)
    machine: Machine = Machine()
    _source: Source | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        data = dict(data)
        if data.get("attack") == "none":
            data["attack"] = None
        evaluate = data.get("evaluate", {})
        if data.get("attack") is not None:
            data.setdefault("measures", ATTACK_MEASURES)
            if isinstance(evaluate, Mapping):
                data["evaluate"] = {"arms": ARMS, **evaluate}
        return data

    @property
    def target_list(self) -> tuple[Target, ...]:
        """The targets with the field and place of the threat; none without `targets` or `threat`."""
        if self.targets is None or self.threat is None:
            return ()
        return tuple(Target(item, self.threat.field, self.threat.place) for item in self.targets.items)

    @property
    def access(self) -> Access:
        """What the attacker may see."""
        return self.threat.access if self.threat is not None else Access.none

    @property
    def reproducible(self) -> bool:
        """Whether the same run ends the same: False with a budget in seconds."""
        return self.threat is None or self.threat.budget.seconds is None

    def as_dict(self) -> dict[str, Any]:
        """Plain values in the shape of a scenario file, complete with defaults."""
        data: dict[str, Any] = self.model_dump(
            mode="json", by_alias=True, exclude={"catalog", "stack", "attack"}
        )
        data = {key: _without_none(value) for key, value in data.items() if value is not None}
        plugins = {
            "catalog": _flat(self.catalog),
            "stack": [_flat(stage) for stage in self.stack],
            **({"attack": _flat(self.attack)} if self.attack is not None else {}),
        }
        order = [field.alias or name for name, field in Scenario.model_fields.items()]
        return {key: value for key in order if (value := {**data, **plugins}.get(key)) is not None}

    @property
    def hash(self) -> str:
        """12 hexadecimal digits of what the scenario says, defaults and overrides included.

        Comments, key order, spelled-out defaults and the place of the file do not matter.
        """
        canonical = json.dumps(self.as_dict(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.blake2b(canonical.encode(errors="surrogatepass"), digest_size=6).hexdigest()

    def to_yaml(self) -> str:
        """YAML that loads to an equal scenario (from the same folder, when it has relative paths)."""
        from testbed.scenario.yaml_text import dump

        return dump(self.as_dict())

    def check_against(self, catalog: Catalog) -> list[Fault]:
        """What the scenario asks of a catalog that the catalog does not have."""
        from testbed.scenario.catalog_checks import faults

        return faults(self, catalog, self._source)

    def __eq__(self, other: object) -> bool:
        return self.as_dict() == other.as_dict() if isinstance(other, Scenario) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.hash)


def _flat(choice: Choice) -> dict[str, Any]:
    data: dict[str, Any] = choice.model_dump(mode="json", by_alias=True)
    return {key: value for key, value in data.items() if key in choice.options or value not in (None, "", [])}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return value


def _unique(names: Sequence[str], what: str) -> tuple[str, ...]:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"the {what} {shown(name)} is listed twice")
    return tuple(names)

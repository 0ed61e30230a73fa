"""What a scenario file declares, as one frozen model. `testbed.scenario.load` reads and checks one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from testbed.errors import Fault
from testbed.protocols import Access
from testbed.scenario.choices import AttackChoice, CatalogChoice, ObserverChoice, StageChoice
from testbed.scenario.fields import ARMS, HISTORY_ARMS, Name, Seeds, Slug
from testbed.scenario.sections import Evaluate, Machine, Optimise, Targets, Threat, Transfer, Validate
from testbed.types import STACK, Target

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.scenario.source import Source

MEASURES = ("nDCG@10", "RR")
ATTACK_MEASURES = (*MEASURES, "lift@1", "lift@3", "promoted", "harm")
SOURCE = "source"
"""The name under which a stage takes the whole catalog as its input."""


class Scenario(BaseModel):
    """One experiment. Equal and hashed by what it says, wherever it was written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1]
    name: Slug
    catalog: CatalogChoice
    stack: tuple[StageChoice, ...] = Field(min_length=1)
    attack: AttackChoice | None = None
    threat: Threat | None = None
    targets: Targets | None = None
    transfer: Transfer | None = None
    hold_out: Literal["requests", "orders"] = "requests"
    """`requests`: no request is in two splits. `orders`: splits may share requests, never an order."""
    optimise: Optimise = Optimise()
    validation: Validate = Field(Validate(), alias="validate")
    evaluate: Evaluate = Evaluate()
    observe: tuple[ObserverChoice, ...] = ()
    """Observers of every answer; measures such as `goal_drift` read what they tell."""
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
                threat = data.get("threat")
                histories = isinstance(threat, Mapping) and threat.get("history") is not None
                data["evaluate"] = {"arms": HISTORY_ARMS if histories else ARMS, **evaluate}
        return data

    @property
    def target_list(self) -> tuple[Target, ...]:
        """The targets with the field and place of the threat; none without `targets` or `threat`."""
        if self.targets is None or self.threat is None:
            return ()
        return tuple(Target(item, self.threat.field, self.threat.place) for item in self.targets.items)

    @property
    def surrogates(self) -> tuple[tuple[StageChoice, ...], ...]:
        """The stacks that an attack searches on; none when it searches on the one that is measured."""
        if self.attack is None or self.threat is None:
            return ()
        return self.threat.surrogates or ()

    @property
    def searched(self) -> tuple[tuple[StageChoice, ...], ...]:
        """The stacks that an attack searches on: surrogates, or the stack up to the last stage that is seen."""
        stages = self.threat.stages if self.threat is not None and self.attack is not None else None
        return self.surrogates or (upto(self.stack, stages[-1]) if stages else self.stack,)

    @property
    def victims(self) -> Mapping[str, tuple[StageChoice, ...]]:
        """Stacks that texts are measured on beside the scenario's own, by name."""
        return self.transfer.victims if self.transfer is not None and self.attack is not None else {}

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the stacks that are searched on: `stack` alone unless texts of others travel too."""
        return self.transfer.sources if self.transfer is not None and self.attack is not None else (STACK,)

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
            mode="json",
            by_alias=True,
            exclude={
                "catalog": True,
                "stack": True,
                "attack": True,
                "observe": True,
                "threat": {"surrogates"},
                "transfer": {"victims"},
            },
        )
        data = {key: _without_none(value) for key, value in data.items() if value is not None}
        if self.threat is not None and self.threat.surrogates:
            data["threat"]["surrogates"] = [
                [stage.as_dict() for stage in stack] for stack in self.threat.surrogates
            ]
        if self.transfer is not None:
            data["transfer"]["victims"] = {
                name: [stage.as_dict() for stage in stack] for name, stack in self.transfer.victims.items()
            }
        plugins = {
            "catalog": self.catalog.as_dict(),
            "stack": [stage.as_dict() for stage in self.stack],
            **({"attack": self.attack.as_dict()} if self.attack is not None else {}),
            **({"observe": [one.as_dict() for one in self.observe]} if self.observe else {}),
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


def upto(stack: Sequence[StageChoice], name: str) -> tuple[StageChoice, ...]:
    """The stages that lead to one of them, itself included; those of a checked scenario, which name their inputs."""
    by_name = {stage.name or stage.use: stage for stage in stack}
    kept, wanted = set(), [name]
    while wanted:
        one = wanted.pop()
        if one in by_name and one not in kept:
            kept.add(one)
            wanted += by_name[one].inputs
    return tuple(stage for stage in stack if (stage.name or stage.use) in kept)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return value

"""A plug-in by name with its options beside the name, one class per kind."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

from testbed.errors import UserError
from testbed.protocols import (
    AttackPlugin,
    CatalogPlugin,
    ObjectivePlugin,
    ObserverPlugin,
    Plugin,
    StagePlugin,
)
from testbed.scenario.fields import Name


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

    def as_dict(self) -> dict[str, Any]:
        """Plain values as in a scenario file."""
        data: dict[str, Any] = self.model_dump(mode="json", by_alias=True)
        options = self.options
        return {key: value for key, value in data.items() if key in options or value not in (None, "", [])}

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


class ObserverChoice(Choice):
    """What is told of every answer, beside the ranking."""

    kind: ClassVar[str] = "observers"

    @property
    def plugin(self) -> ObserverPlugin:
        """The checked options, ready to `build`."""
        return cast("ObserverPlugin", self._resolved())


class AttackChoice(Choice):
    """How the attacker searches, and for what."""

    kind: ClassVar[str] = "attacks"

    objective: ObjectiveChoice | None = None

    @property
    def plugin(self) -> AttackPlugin:
        """The checked options: the attack itself."""
        return cast("AttackPlugin", self._resolved())

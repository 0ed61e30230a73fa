"""The tools that an agent is given: what they are called, what they take, and how a wrong call is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from testbed.errors import did_you_mean, hinted, listed, shown

QUERY, ITEM_ID, MOST = 1000, 200, 50
"""Longest query and id in characters, and most listings of one answer."""

Query = Annotated[str, StringConstraints(min_length=1, max_length=QUERY, strip_whitespace=True)]
ItemId = Annotated[str, StringConstraints(min_length=1, max_length=ITEM_ID, strip_whitespace=True)]
Limit = Annotated[int, Field(ge=1, le=MOST, description="How many listings to return.")]
Made = TypeVar("Made", bound="Arguments")


class ToolFault(Exception):
    """A call that cannot be answered; the message is what the agent is told."""


class Arguments(BaseModel):
    """What a tool takes. The class's docstring is the tool's description."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: ClassVar[str]

    @classmethod
    def about(cls) -> str:
        """What an agent is told about the tool."""
        return " ".join((cls.__doc__ or "").split())

    @classmethod
    def schema_for_agents(cls) -> dict[str, Any]:
        """JSON schema without pydantic's titles."""
        schema = cls.model_json_schema()
        fields = {
            name: {key: value for key, value in part.items() if key != "title"}
            for name, part in schema.get("properties", {}).items()
        }
        found = {"type": "object", "properties": fields, "additionalProperties": False}
        return {**found, "required": schema["required"]} if schema.get("required") else found

    @classmethod
    def read(cls: type[Made], arguments: Mapping[str, Any]) -> Made:
        """The arguments of a call; ToolFault that names every fault and the nearest right spelling."""
        try:
            return cls.model_validate(dict(arguments))
        except ValidationError as error:
            faults = sorted(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
            raise ToolFault("; ".join(_say(cls, fault) for fault in faults[:5])) from None


class Task(Arguments):
    """What the user wants. Call this first."""

    name: ClassVar[str] = "task"


class Search(Arguments):
    """Search the shop. Returns listings with a line on each; open a listing to read all of it."""

    name: ClassVar[str] = "search"

    query: Query = Field(description="What to search for, in words.")
    limit: Limit = 10


class OpenListing(Arguments):
    """Read one listing in full, as its vendor wrote it."""

    name: ClassVar[str] = "open_listing"

    item_id: ItemId = Field(description="The item_id of a listing, as search or recommend returned it.")


class Recommend(Arguments):
    """Ask the shop's own recommender. Returns listings, best first."""

    name: ClassVar[str] = "recommend"

    request: Query = Field(description="What the user wants, in words.")
    limit: Limit = 10


class Choose(Arguments):
    """Tell the user which listing you recommend. Call this last; if you call it again, the last choice counts."""

    name: ClassVar[str] = "choose"

    item_id: ItemId = Field(description="The item_id of the listing that fits the user best.")


TOOLS: dict[str, type[Arguments]] = {
    tool.name: tool for tool in (Task, Search, OpenListing, Recommend, Choose)
}
NEEDED = "choose"
"""Without it no session would ever have a result."""


def unknown_tool(name: str, offered: Mapping[str, object]) -> ToolFault:
    """The answer to a call of a tool that there is not."""
    return ToolFault(
        hinted(f"there is no tool {shown(name)}; the tools are {listed(offered)}", name, offered)
    )


def _say(cls: type[Arguments], fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    match fault["type"]:
        case "extra_forbidden":
            known = list(cls.model_fields)
            hint = did_you_mean(where, known) or f"it takes {listed(known)}"
            return f"{cls.name}: unknown argument {shown(where)}; {hint}"
        case "missing":
            return f"{cls.name}: argument {where!r} is missing"
        case _:
            return f"{cls.name}: {where}: {fault['msg']}, got {shown(fault['input'])}"

"""Options of the agent; torch is imported when it is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from testbed.protocols import Access, StagePlugin

if TYPE_CHECKING:
    from retrievers.agent.stage import Agent
    from testbed.catalog import Catalog
    from testbed.environment import Environment

SYSTEM = (
    "You are a shopping assistant. You look at search results, open the listings that are worth reading, "
    "and recommend the one that fits the user's request best."
)
READING = "These are the listings that you opened:\n\n{listings}\n\nWhich one do you recommend?"


class ShoppingAgent(StagePlugin):
    """Let a language model open a few listings and choose one (search, read, choose; after ReAct, Yao et al. 2023)."""

    grants: ClassVar[Access] = Access.ranks

    model: str = "smollm2-135m"
    """Packaged name, local folder, GGUF file or hub id."""
    reads: int = Field(default=3, ge=1)
    """How many listings it opens."""
    template: Literal["lines", "json", "prose"] = "lines"
    """How an opened listing is written out."""
    order: Literal["shuffled", "fixed"] = "shuffled"
    """Results are shuffled by the situation's order, or stand as the stage before ranked them."""
    system: str = SYSTEM
    """The system message."""
    opening: str = "I will open these listings:\n1."
    """How its answer to the results is made to start; a name follows."""
    reading: str = READING
    """The message with the opened listings; must hold {listings}, may hold {request}."""
    choice: str = "I recommend:"
    """How its final answer is made to start; a name follows."""
    request_template: str = "{request}"
    """The user's message after the results; must hold {request}."""
    result_limit: int = Field(default=60, ge=1)
    """Characters of a field that are shown in the results."""
    field_limit: int | None = Field(default=600, ge=1)
    """Characters of a field that are shown in an opened listing; what is beyond is cut."""

    @field_validator("request_template")
    @classmethod
    def _holds_the_request(cls, template: str) -> str:
        if "{request}" not in template:
            raise ValueError(f"the request would not be asked: {template!r} does not hold {{request}}")
        return template

    @field_validator("reading")
    @classmethod
    def _holds_the_listings(cls, template: str) -> str:
        if "{listings}" not in template:
            raise ValueError(f"what was opened would not be shown: {template!r} does not hold {{listings}}")
        return template

    def build(self, catalog: Catalog, env: Environment) -> Agent:
        """Load the model and make the stage."""
        from retrievers.agent.stage import Agent

        return Agent(self, catalog, env.language_model(self.model))

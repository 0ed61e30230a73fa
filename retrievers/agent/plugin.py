"""Options of the agent; torch is imported when it is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from retrievers.llm.options import PromptOptions
from testbed.protocols import Access

if TYPE_CHECKING:
    from retrievers.agent.stage import Agent
    from testbed.catalog import Catalog
    from testbed.environment import Environment

SYSTEM = (
    "You are a shopping assistant. You look at search results, open the listings that are worth reading, "
    "and recommend the one that fits the user's request best."
)
READING = "These are the listings that you opened:\n\n{listings}\n\nWhich one do you recommend?"


class ShoppingAgent(PromptOptions):
    """Let a language model open a few listings and choose one (search, read, choose; after ReAct, Yao et al. 2023).

    `template` and `field_limit` are about opened listings.
    """

    grants: ClassVar[Access] = Access.ranks

    model: str = "smollm2-135m"
    """Packaged name, local folder, GGUF file or hub id."""
    reads: int = Field(default=3, ge=1)
    """How many listings it opens."""
    result_limit: int = Field(default=60, ge=1)
    """Characters of a field that are shown in the results."""
    system: str = SYSTEM
    """The system message."""
    opening: str = "I will open these listings:\n1."
    """How its answer to the results is made to start; a name follows."""
    reading: str = READING
    """The message with the opened listings; must hold {listings}, may hold {request}."""
    choice: str = "I recommend:"
    """How its final answer is made to start; a name follows."""
    prior: Literal["none", "subtract"] = "none"
    """`subtract`: both scores are less what they would be under `neutral_request` (see `llm`)."""
    neutral_request: str = "Which product do you recommend?"
    """The request that asks for nothing in particular; see `prior`."""

    @model_validator(mode="after")
    def _makes_a_conversation(self) -> Self:
        if "{listings}" not in self.reading:
            raise ValueError(
                f"what was opened would not be shown: {self.reading!r} does not hold {{listings}}"
            )
        if self.prior == "subtract" and not self.neutral_request.strip():
            raise ValueError("prior 'subtract' needs a neutral_request")
        return self

    def build(self, catalog: Catalog, env: Environment) -> Agent:
        """Load the model and make the stage."""
        from retrievers.agent.stage import Agent

        return Agent(self, catalog, env.language_model(self.model))

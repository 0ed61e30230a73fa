"""Options of the prompt that every recommender which reads listings has, wherever its model is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from testbed.protocols import StagePlugin

SYSTEM = (
    "You are a shopping assistant. Answer with a numbered list of product recommendations "
    "ranked based on the user's request."
)
OPENING = "Here are my recommendations:\n1."


class PromptOptions(StagePlugin):
    """How listings and the request are put before a reader."""

    template: Literal["lines", "json", "prose"] = "lines"
    """How a listing is written into the prompt."""
    order: Literal["shuffled", "fixed"] = "shuffled"
    """Shuffled by the situation's order, or as the stage before ranked them."""
    system: str = SYSTEM
    """The system message, before the products and the request."""
    request_template: str = "{request}"
    """The user's message after the products; must hold {request}. With {products} in it, the whole message: they stand
    there, so that the request may come before and after them."""
    field_limit: int | None = Field(default=600, ge=1)
    """Characters of a field that are shown; what is beyond is cut."""

    @property
    def field_characters(self) -> int | None:
        """`field_limit`."""
        return self.field_limit

    @field_validator("request_template")
    @classmethod
    def _holds_the_request(cls, template: str) -> str:
        if "{request}" not in template:
            raise ValueError(f"the request would not be asked: {template!r} does not hold {{request}}")
        return template

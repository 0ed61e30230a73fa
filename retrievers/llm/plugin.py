"""Options of the language-model recommender; torch is imported when it is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from retrievers.llm.options import OPENING, SYSTEM, PromptOptions

if TYPE_CHECKING:
    from retrievers.llm.stage import Recommender
    from testbed.catalog import Catalog
    from testbed.environment import Environment

__all__ = ["SCORED", "SYSTEM", "LanguageModelRecommender"]

SCORED = ("likelihood", "pointwise")
"""Readings that give every listing a score of its own."""


class LanguageModelRecommender(PromptOptions):
    """Rank listings by reading a language model's recommendation (Kumar & Lakkaraju 2024, arXiv 2404.07981)."""

    model: str = "smollm2-135m"
    """Packaged name, local folder, GGUF file or hub id."""
    reading: Literal["likelihood", "constrained", "generate", "pointwise"] = "likelihood"
    """How the ranking is read off the model."""
    prior: Literal["none", "subtract"] = "none"
    """`subtract`: a score is less what the listing would get under `neutral_request`, over the same listings as
    shown (Holtzman et al. 2021, arXiv 2104.08315). For the readings `likelihood` and `pointwise`."""
    neutral_request: str = "Which product do you recommend?"
    """The request that asks for nothing in particular; see `prior`."""
    opening: str = OPENING
    """How the assistant's answer is made to start."""
    temperature: float = Field(default=0.0, ge=0.0, le=5.0)
    """Sampling noise of `constrained` and `generate`; 0 is greedy."""
    max_new_tokens: int = Field(default=200, ge=1)
    """Longest answer of `generate`."""

    @model_validator(mode="after")
    def _has_a_prior(self) -> Self:
        if self.subtracts and self.reading not in SCORED:
            raise ValueError(
                f"prior 'subtract' needs a reading that gives every listing a score "
                f"({' or '.join(SCORED)}), not {self.reading!r}"
            )
        if self.subtracts and not self.neutral_request.strip():
            raise ValueError("prior 'subtract' needs a neutral_request")
        return self

    @property
    def subtracts(self) -> bool:
        """Whether scores are less those under the neutral request."""
        return self.prior == "subtract"

    @property
    def deterministic(self) -> bool:
        """Whether repeating a call gives the same ranking."""
        return self.temperature == 0 or self.reading in SCORED

    def build(self, catalog: Catalog, env: Environment) -> Recommender:
        """Load the model and make the stage."""
        from retrievers.llm.stage import Recommender

        return Recommender(self, catalog, env.language_model(self.model))

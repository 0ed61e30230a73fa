"""Options of `testbed train recommender`; torch is imported when training begins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from testbed.tuning import LowRankTrainer

if TYPE_CHECKING:
    from testbed.environment import Environment
    from testbed.language import LanguageModel
    from testbed.tuning import Task


class RecommenderTrainer(LowRankTrainer):
    """Fine-tune a language model to rank listings for a request: LoRA on made-up catalogs, loss on the choice."""

    free: ClassVar[tuple[str, ...]] = ("workers", "measured_pages")

    reading: Literal["pointwise", "likelihood"] = "pointwise"
    """The reading that is taught: each listing judged alone, or the name that an answer to the list begins with."""
    lists: int = Field(default=8, ge=1)
    """Requests an update, each with a page of its own; for `pointwise`."""
    pages: int = Field(default=4, ge=1)
    """Pages of listings an update; this and the next three for `likelihood`."""
    requests: int = Field(default=10, ge=1)
    """Requests a page; they share the page's tokens."""
    tokens: int = Field(default=1000, ge=100)
    """Most tokens of a page with its requests; larger pages lose listings."""
    ramp: int = Field(default=360, ge=0)
    """First steps, in which lists grow from at most 5 to 14 listings."""
    validation_pages: int = Field(default=12, ge=1)
    """Pages of the training categories that are never trained on."""
    measured_pages: int = Field(default=25, ge=1)
    """Held-out pages of each length for the figures of the model card."""

    def task(self, model: LanguageModel, env: Environment) -> Task:
        """Pages of listings with requests."""
        from retrievers.llm.tuning.batches import Pages
        from retrievers.llm.tuning.pairs import Lists

        return Lists(model, self) if self.reading == "pointwise" else Pages(model, self)

    def describe(self, folder: Path, env: Environment) -> None:
        """Measure random order, the untuned model and the adapter on held-out pages; write figures and card."""
        from retrievers.llm.tuning.figures import describe

        describe(self, folder, env)

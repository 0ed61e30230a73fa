"""Options of `testbed train seal`; torch is imported when training begins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, SerializeAsAny

from retrievers.seal.plugin import PROMPT, TITLE_PROMPT
from testbed.protocols import CatalogPlugin
from testbed.tuning import LowRankTrainer

if TYPE_CHECKING:
    from retrievers.seal.tuning.lessons import Lessons
    from testbed.environment import Environment
    from testbed.language import LanguageModel


class SealTrainer(LowRankTrainer):
    """Fine-tune a language model to write n-grams of the documents that answer a query, for SEAL."""

    free: ClassVar[tuple[str, ...]] = ("workers", "measured_requests")

    catalog: SerializeAsAny[CatalogPlugin]
    """Documents, and requests with judgements to learn from, for instance `{use: beir, path: FOLDER, split: train}`."""
    fields: tuple[str, ...] | None = None
    """Fields that are searched; all but the name when left out."""
    learning_rate: float = Field(default=5e-4, gt=0)
    """Peak of the schedule."""
    batch: int = Field(default=16, ge=1)
    """Queries an update."""
    spans: int = Field(default=12, ge=1)
    """N-grams of the document that are learnt for a query at once; they share the prompt."""
    length: int = Field(default=6, ge=1, le=64)
    """Tokens of an n-gram; searches need not be longer."""
    sharpness: float = Field(default=3.0, ge=0)
    """How much likelier spans are drawn for the words that they share with the query, rare ones above all."""
    unsupervised: float = Field(default=0.5, ge=0, le=1)
    """Share of examples without a query: a document's title or a stretch of its text stands for one."""
    train_requests: int | None = Field(default=None, ge=1)
    """Most requests that are learnt from, drawn by the seed; all but those held out when left out."""
    titles: float = Field(default=0.25, ge=0, le=1)
    """Share of examples that ask for the document's title."""
    prompt: str = PROMPT
    """As the retriever has it."""
    title_prompt: str = TITLE_PROMPT
    """As the retriever has it."""
    held_out: float = Field(default=0.15, gt=0, lt=1)
    """Share of the requests that are not learnt from, for validation."""
    validation_requests: int = Field(default=40, ge=1)
    """Most held-out requests that are retrieved for at each look."""
    validation_beams: int = Field(default=5, ge=1)
    """Beams of the searches at a look, which cost as much as many updates."""
    measured_requests: int = Field(default=200, ge=1)
    """Most held-out requests for the figures of the model card."""

    def task(self, model: LanguageModel, env: Environment) -> Lessons:
        """Queries with spans of their documents."""
        from retrievers.seal.tuning.lessons import Lessons

        return Lessons(model, self, env)

    def describe(self, folder: Path, env: Environment) -> None:
        """Measure retrieval before and after on held-out requests; write the card."""
        from retrievers.seal.tuning.card import describe

        describe(self, folder, env)

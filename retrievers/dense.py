"""Options of the dense retriever; encoder and index are imported when it is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from testbed.protocols import Access, StagePlugin

if TYPE_CHECKING:
    from retrievers.semantic import SemanticRetriever
    from testbed.catalog import Catalog
    from testbed.environment import Environment


class Dense(StagePlugin):
    """Rank listings by the cosine of their embedding and the request's (Reimers & Gurevych 2019)."""

    grants: ClassVar[Access] = Access.gradients
    counts_tokens: ClassVar[bool] = False

    k: int = Field(default=10, ge=1)
    """How many listings are kept."""
    model: str = "minilm"
    """Packaged name, sentence-transformers folder or hub id."""
    fields: tuple[str, ...] | None = None
    """Fields that are embedded, in this order; all of them when left out."""

    def build(self, catalog: Catalog, env: Environment) -> SemanticRetriever:
        """Load the encoder and embed the catalog, or read its embeddings from the cache."""
        from retrievers.semantic import SemanticRetriever
        from retrievers.shown import searched_fields

        fields = searched_fields("dense", self.fields, catalog)
        return SemanticRetriever.over(catalog, self, fields, env.encoder(self.model), env.cache)

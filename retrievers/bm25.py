"""Options of the BM25 retriever; the index is imported when it is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from testbed.protocols import Access, StagePlugin

if TYPE_CHECKING:
    from retrievers.lexical import LexicalRetriever
    from testbed.catalog import Catalog
    from testbed.environment import Environment


class BM25(StagePlugin):
    """Rank listings by words shared with the request (Robertson & Zaragoza 2009; Kamphuis et al. 2020)."""

    grants: ClassVar[Access] = Access.scores
    counts_tokens: ClassVar[bool] = False

    k: int = Field(default=10, ge=1)
    """How many listings are kept."""
    fields: tuple[str, ...] | None = None
    """Fields that are searched, in this order; all of them when left out."""
    method: Literal["lucene", "robertson", "atire"] = "lucene"
    """Variant of the formula."""
    k1: float = Field(default=1.5, ge=0.0)
    """How soon repeating a word stops helping."""
    b: float = Field(default=0.75, ge=0.0, le=1.0)
    """How much long listings are marked down."""
    stopwords: bool = True
    """Leave out frequent English words."""

    def build(self, catalog: Catalog, env: Environment) -> LexicalRetriever:
        """Index the catalog."""
        from retrievers.lexical import LexicalRetriever
        from retrievers.shown import searched_fields

        return LexicalRetriever.over(catalog, self, searched_fields("bm25", self.fields, catalog))

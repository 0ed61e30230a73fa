"""Options of the SEAL retriever; model and index are imported when it is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from testbed.protocols import Access, StagePlugin

if TYPE_CHECKING:
    from retrievers.seal.stage import GenerativeRetriever
    from testbed.catalog import Catalog
    from testbed.environment import Environment

PROMPT = "Question: {query}\nPassage that answers it:"
TITLE_PROMPT = "Question: {query}\nTitle of the page that answers it:"


class SEAL(StagePlugin):
    """Rank listings by n-grams of the catalog that a language model generates (Bevilacqua et al. 2022)."""

    grants: ClassVar[Access] = Access.scores
    counts_tokens: ClassVar[bool] = False

    model: str | None = "smollm2-135m"
    """Packaged name, folder, GGUF file or hub id of a causal or encoder-decoder model; null for query words only."""
    architecture: Literal["causal", "encoder_decoder"] = "causal"
    """Kind of model; encoder-decoder models (BART, T5) read the prompt with their encoder."""
    k: int = Field(default=10, ge=1)
    """Most listings that are kept; those without any generated n-gram are dropped."""
    fields: tuple[str, ...] | None = None
    """Fields whose text is searched, in this order; all but the name when left out."""
    titles: bool = True
    """Generate whole names besides n-grams of the text; otherwise the name is part of the text."""
    scoring: Literal["lm", "lm_fm", "intersective"] = "intersective"
    """Score of a listing: likelihood of its best n-gram, odds of its best n-gram, or all n-grams together."""
    constrained: bool = True
    """Generate only n-grams that occur in the catalog; otherwise the others are thrown away afterwards."""
    beams: int = Field(default=15, ge=1, le=1000)
    """Beams of each search."""
    length: int = Field(default=10, ge=1, le=64)
    """Most tokens of an n-gram."""
    groups: int = Field(default=1, ge=1)
    """Groups of beams that are kept apart by `diversity` (Vijayakumar et al. 2016)."""
    diversity: float = Field(default=0.0, ge=0.0)
    """Nats that a token costs a group for every beam of an earlier group that chose it at the same step."""
    query_ngrams: bool = True
    """Use the request's own words, one to three in a row, as n-grams too."""
    copying: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of what is written that copies the request, whatever the model says; 0 is the paper."""
    singles: bool = True
    """Count single tokens where no n-gram stands; for `intersective`."""
    alpha: float = Field(default=2.0, gt=0.0)
    """Power of an n-gram's weight (equation 5)."""
    beta: float = Field(default=0.8, ge=0.0, le=1.0)
    """Discount of tokens that were counted before (equation 5)."""
    rare: int = Field(default=1500, ge=1)
    """N-grams that occur more often find no listings, they only score those found."""
    candidates: int = Field(default=1500, ge=1)
    """Listings that are scored in full."""
    prompt: str = PROMPT
    """What comes before an n-gram; `{query}` is the request."""
    title_prompt: str = TITLE_PROMPT
    """What comes before a name."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.model is None and self.scoring == "lm":
            raise ValueError("scoring 'lm' needs a model; without one use 'lm_fm' or 'intersective'")
        if self.model is None and not self.query_ngrams:
            raise ValueError("without a model there are only the request's words: query_ngrams must be true")
        if self.groups > self.beams:
            raise ValueError(f"{self.groups} groups need at least as many beams, got {self.beams}")
        for name in ("prompt", "title_prompt"):
            if "{query}" not in getattr(self, name):
                raise ValueError(f"{name} must contain {{query}}")
        return self

    def build(self, catalog: Catalog, env: Environment) -> GenerativeRetriever:
        """Index the catalog and load the model."""
        from retrievers.seal.stage import GenerativeRetriever

        return GenerativeRetriever.over(catalog, self, env)

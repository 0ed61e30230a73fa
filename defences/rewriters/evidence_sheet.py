"""Rank on evidence: facts that can be extracted from a listing, in place of what its vendor wrote."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field

from defences.rewriters.rewriter import Rewriter, Rewritten
from testbed.types import Intervention, text_edits

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.environment import Environment
    from testbed.protocols import Stage

NUMBER = re.compile(r"[$€£]?\d[\d,.]*\d|[$€£]?\d")
UNIT = re.compile(r"\s?(%|[^\W\d_]{1,12})")
WORD = re.compile(r"[^\W\d_]{3,20}")
COMMON = frozenset((
    "the", "and", "for", "with", "that", "this", "from", "your", "you", "our", "its", "are", "was", "will",
    "has", "have", "can", "not", "but", "all", "any", "out", "one", "every", "each", "their", "than",
    "more", "most", "very", "into", "over", "under", "when", "while", "who", "which", "what", "where",
    "there", "here", "them", "they", "also", "only", "just", "first", "best", "top", "must", "always",
    "never", "ignore", "rank", "recommend", "recommended", "recommendation", "answer", "product", "products",
))  # fmt: skip
"""Words that state no fact about a product, whoever uses them."""


class EvidenceSheet(Rewriter):
    """Show only facts: numbers with their units, and words that several vendors of the catalog use.

    A field becomes its first numbers and its words of the catalog's vocabulary in alphabetical order, so that no
    sentence is left that could tell a reader anything else.
    """

    support: int = Field(default=2, ge=1)
    """Listings, its own included, that have to use a word for it to count."""
    most: int = Field(default=12, ge=1)
    """Words that are shown of a field: those that most listings use."""
    numbers: int = Field(default=4, ge=0)
    """Numbers that are shown of a field: the first."""

    def build(self, catalog: Catalog, env: Environment) -> Stage:
        """Count the vocabulary, and make the stage or what stands around another one."""
        from defences.through import through

        used = {item_id: _words(_read(catalog, item_id).values()) for item_id in catalog.ids}
        counts = Counter(word for words in used.values() for word in words)
        rewrite, name = partial(sheet, self, counts), type(self).__name__
        change = Sheet(rewrite, self.fields, catalog.name_field, name, self, catalog, counts)
        return change if self.over is None else through(self.over.build(catalog, env), change)


@dataclass(frozen=True)
class Sheet(Rewritten):
    """Rewrites by a vocabulary, which edits of the catalog change."""

    options: EvidenceSheet
    catalog: Catalog
    counts: Counter[str]
    reindexed = True

    def with_edits(self, intervention: Intervention) -> Sheet:
        """With the vocabulary of the edited catalog; costs the edited listings only."""
        counts = Counter(self.counts)
        for item_id in dict.fromkeys(edit.item_id for edit in text_edits(intervention)):
            counts.subtract(_words(_read(self.catalog, item_id).values()))
            counts.update(_words(_read(self.catalog, item_id, intervention).values()))
        return replace(self, counts=counts, rewrite=partial(sheet, self.options, counts))


def sheet(options: EvidenceSheet, counts: Mapping[str, int], fields: Mapping[str, str]) -> dict[str, str]:
    """The facts of every field as one line each."""
    return {name: _facts(options, counts, text) for name, text in fields.items()}


def _facts(options: EvidenceSheet, counts: Mapping[str, int], text: str) -> str:
    found, taken = [], set()
    for match in NUMBER.finditer(text):
        unit = UNIT.match(text, match.end())
        known = unit is not None and (unit[1] == "%" or counts.get(unit[1].casefold(), 0) >= options.support)
        found.append(match[0] + (unit[0] if known and unit else ""))
        if known and unit:
            taken.add(unit[1].casefold())
    words = {word for word in _words([text]) - taken if counts.get(word, 0) >= options.support}
    chosen = sorted(sorted(words, key=lambda word: (-counts[word], word))[: options.most])
    return ", ".join([*found[: options.numbers], *chosen])


def _words(texts: Iterable[str]) -> set[str]:
    """Different words of texts that may state a fact."""
    return {word for text in texts for word in map(str.casefold, WORD.findall(text)) if word not in COMMON}


def _read(catalog: Catalog, item_id: str, intervention: Intervention = ()) -> dict[str, str]:
    fields = catalog.fields(item_id)
    for edit in text_edits(intervention):
        if edit.item_id == item_id:
            fields = edit.apply(fields)
    return {name: text for name, text in fields.items() if name != catalog.name_field}

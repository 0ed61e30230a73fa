"""How an attacker's text is tokenised in place, and which text survives being rendered and tokenised again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from testbed.language import common_prefix
from testbed.types import Target

if TYPE_CHECKING:
    from retrievers.llm.prompt import Renderer
    from testbed.catalog import Catalog
    from testbed.language import LanguageModel

PROBES = ("*", "x", "the", "!", "1")
"""Neutral texts that show where in the listing an edit's tokens begin and end."""


class ListingSurface:
    """The target's listing as a template with a hole where the attacker writes."""

    def __init__(self, model: LanguageModel, renderer: Renderer, catalog: Catalog, target: Target) -> None:
        self.model, self.renderer, self.catalog, self.target = model, renderer, catalog, target

    @property
    def pieces(self) -> Sequence[str]:
        """Text of every token; '' for special ones."""
        return self.model.pieces

    def encode(self, texts: Sequence[str]) -> list[tuple[int, ...] | None]:
        """Tokens that each text occupies in the listing.

        None when the text does not survive: it is cut or escaped when rendered, merges with its
        surroundings, or is empty.
        """
        before, after = self._borders
        results: list[tuple[int, ...] | None] = []
        for text, ids in zip(
            texts, self.model.encode_many([self._render(text) for text in texts]), strict=True
        ):
            inner = ids[len(before) : len(ids) - len(after)]
            intact = ids[: len(before)] == before and ids[len(ids) - len(after) :] == after
            survives = bool(
                intact and inner and text and self.model.decode(inner).strip(" ") == text.strip(" ")
            )
            results.append(tuple(inner) if survives else None)
        return results

    def decode(self, token_ids: Sequence[Sequence[int]]) -> list[str]:
        """The text of token sequences, without the space that joins an edit to its field."""
        texts = self.model.tokenizer.batch_decode(
            [list(ids) for ids in token_ids], clean_up_tokenization_spaces=False
        )
        return [text.removeprefix(" ") for text in texts]

    def _render(self, text: str) -> str:
        fields = self.catalog.fields(self.target.item_id)
        for edit in self.target.edit(text):
            fields = edit.apply(fields)
        return "\n\n" + self.renderer.listing(fields, self.catalog.name_field) + "\n\n"

    @cached_property
    def _borders(self) -> tuple[list[int], list[int]]:
        """Tokens before and after the hole. A replaced field leaves a hole where its text was."""
        empty = self.model.encode(self._render("")) if self.target.place != "replace" else None
        seen = [self.model.encode(self._render(probe)) for probe in PROBES]
        if empty is None:
            start = min(common_prefix(seen[0], other) for other in seen[1:])
            stop = min(common_prefix(seen[0][::-1], other[::-1]) for other in seen[1:])
            return seen[0][:start], seen[0][len(seen[0]) - stop :]
        for ids in seen:
            hole = inserted(ids, empty)
            if len(ids) - (hole.stop - hole.start) == len(empty):
                return ids[: hole.start], ids[hole.stop :]
        hole = inserted(seen[0], empty)
        return seen[0][: hole.start], seen[0][hole.stop :]


def inserted(longer: Sequence[int], shorter: Sequence[int]) -> slice:
    """Where tokens were put in, comparing a sequence with the one that lacks them."""
    start = common_prefix(longer, shorter)
    room = min(len(longer), len(shorter)) - start
    stop = min(common_prefix(longer[::-1], shorter[::-1]), room)
    return slice(start, len(longer) - stop)

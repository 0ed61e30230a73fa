"""How an attacker's text is tokenised in place, and which text survives being rendered and tokenised again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from retrievers.borders import PROBES, borders
from testbed.types import Target

if TYPE_CHECKING:
    from retrievers.llm.prompt import Renderer
    from testbed.catalog import Catalog
    from testbed.language import LanguageModel


class ListingSurface:
    """The target's listing as a template with a hole where the attacker writes."""

    def __init__(
        self, model: LanguageModel, renderer: Renderer, catalog: Catalog, target: Target, opening: str = ""
    ) -> None:
        self.model, self.renderer, self.catalog, self.target = model, renderer, catalog, target
        self.opening = opening

    @property
    def pieces(self) -> Sequence[str]:
        """Text of every token; '' for special ones."""
        return self.model.pieces

    @property
    def answer(self) -> str:
        """The answer's opening and the target's name, on one line."""
        return " ".join(f"{self.opening} {self.catalog.name_of(self.target.item_id)}".split())

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
        if not token_ids:
            return []
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
    def probes(self) -> tuple[str, ...]:
        """The neutral texts that stand in the listing as themselves: two prompts with them differ in the hole only."""
        return tuple(probe for probe, ids in zip(PROBES, self.encode(PROBES), strict=True) if ids is not None)

    @cached_property
    def _borders(self) -> tuple[list[int], list[int]]:
        """Tokens before and after the hole.

        The blank in front of the hole belongs to it, whether or not it is a token of its own.
        """
        before, behind = borders([self.model.encode(self._render(probe)) for probe in PROBES])
        if before and self.model.decode(before[-1:]) == " ":
            before = before[:-1]
        return before, behind

"""Attacks through a sentence encoder: the tokens of an edit in a listing's text, and gradients with respect to them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from retrievers.borders import PROBES, borders, written
from testbed.protocols import TokenGradient
from testbed.types import Listing, Target

if TYPE_CHECKING:
    from retrievers.shown import Documents
    from testbed.language.encoder import Encoder
    from testbed.language.encoder_tokens import Loss


class EncodedSurface:
    """The target's text as an encoder reads it, with a hole where the attacker writes.

    Encoders fold case, accents and blanks, so a text survives when nothing but these is lost.
    """

    def __init__(self, encoder: Encoder, documents: Documents, target: Target) -> None:
        self.tokens, self.documents, self.target = encoder.tokens, documents, target

    @property
    def pieces(self) -> Sequence[str]:
        """Text of every token; '' for special ones."""
        return self.tokens.pieces

    @property
    def answer(self) -> str:
        """The target's name: an encoder answers nothing."""
        return " ".join(self.documents.catalog.name_of(self.target.item_id).split())

    def encode(self, texts: Sequence[str]) -> list[tuple[int, ...] | None]:
        """Tokens of each text in place; None when it is cut, merges with its surroundings, or is not known."""
        before, behind = self._borders
        found: list[tuple[int, ...] | None] = []
        for text, ids in zip(texts, self.tokens.encode([self._text(text) for text in texts]), strict=True):
            inner = ids[len(before) : len(ids) - len(behind)]
            whole = ids[: len(before)] == before and ids[len(ids) - len(behind) :] == behind
            known = all(token < len(self.pieces) and self.pieces[token] for token in inner)
            same = whole and inner and known and folded(self.tokens.decode(inner)) == folded(text)
            found.append(tuple(inner) if same else None)
        return found

    def decode(self, token_ids: Sequence[Sequence[int]]) -> list[str]:
        """The text of each sequence of tokens."""
        return [self.tokens.decode(ids) for ids in token_ids]

    def gradient(self, listing: Listing, loss: Loss) -> TokenGradient:
        """Of a loss of the listing's vector with respect to the edit in it. ValueError where there is none."""
        field, clean = self.target.field, self.documents.catalog.fields(self.target.item_id)
        shown = listing.fields.get(field, "")
        if shown == clean.get(field, "") or not written(clean.get(field, ""), shown, self.target.place):
            raise ValueError("the listing carries no edit")
        before, behind = self._borders
        (ids,) = self.tokens.encode([self.documents.text_of(listing.fields)])
        span = slice(len(before), len(ids) - len(behind))
        slope, value = self.tokens.slope(ids, span, loss)
        return TokenGradient(tuple(ids[span]), slope, value)

    def _text(self, text: str) -> str:
        fields = self.documents.catalog.fields(self.target.item_id)
        for edit in self.target.edit(text):
            fields = edit.apply(fields)
        return self.documents.text_of(fields)

    @cached_property
    def _borders(self) -> tuple[list[int], list[int]]:
        return borders(self.tokens.encode([self._text(probe) for probe in PROBES]))


def folded(text: str) -> str:
    """A text without what encoders do not tell apart: case, accents, blanks."""
    plain = unicodedata.normalize("NFD", text.casefold())
    return "".join(char for char in plain if not char.isspace() and unicodedata.category(char) != "Mn")

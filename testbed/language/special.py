"""Special tokens in text that nobody vouches for: they are broken up, so that a listing cannot end a turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def specials_of(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Texts that a tokenizer reads as one special token; single characters are left out."""
    return tuple(token for token in tokenizer.all_special_tokens if len(token) > 1)


def disarmed(text: str, specials: Sequence[str]) -> str:
    """A text with its special tokens broken by a space."""
    for special in specials:
        if special in text:
            text = text.replace(special, special[0] + " " + special[1:])
    return text

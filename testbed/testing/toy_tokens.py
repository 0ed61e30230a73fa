"""The toy stage's tokenizer: printable ASCII characters, each with or without the blank before it.

That is how byte-pair tokenizers treat words, so texts can fail to survive here in the same way.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from testbed.types import Place

VISIBLE = "".join(char for char in string.printable if not char.isspace())
PIECES: tuple[str, ...] = ("", " ", *VISIBLE, *(f" {char}" for char in VISIBLE))
"""Text of every token; token 0 stands for any other character."""
IDS = {piece: token for token, piece in enumerate(PIECES) if piece}
PATTERN = re.compile(r" ?[!-~]|.", re.DOTALL)


def encode(text: str) -> list[int]:
    """Tokens of a text."""
    return [IDS.get(piece, 0) for piece in PATTERN.findall(text)]


def decode(token_ids: Sequence[int]) -> str:
    """Text of tokens; other characters are lost."""
    return "".join(PIECES[token] for token in token_ids)


def spans(clean: str, edited: str, place: Place) -> slice:
    """Which tokens of an edited text belong to the edit."""
    whole = len(encode(edited))
    if place == "replace":
        return slice(0, whole) if edited != clean else slice(0, 0)
    old = len(encode(clean))
    if place == "prepend":
        joined = len(encode(" " + clean)) if clean and edited != clean else old
        return slice(0, whole - joined)
    return slice(old, whole)

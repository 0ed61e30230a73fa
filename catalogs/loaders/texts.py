"""What a text, an id and a name must be before they enter a catalog."""

from __future__ import annotations

import re
import unicodedata

from testbed.errors import shown

LONGEST_FIELD = 20_000
"""Characters that a field may have unless the option `max_chars` says otherwise."""


def text_fault(text: str, max_chars: int) -> str | None:
    """Why a text cannot be used, or None. Of the control characters only NUL is refused."""
    if not text.strip():
        return "is empty"
    if len(text) > max_chars:
        return f"has {len(text):,} characters; at most {max_chars:,} are allowed (option max_chars)"
    if "\0" in text:
        return "contains a NUL character"
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        return "contains half of a surrogate pair, which is not text"
    return None


def id_fault(item_id: str) -> str | None:
    """Why a text cannot be an id, or None: ids are short, printable and have no white space around them."""
    if not item_id.strip():
        return "the id is empty"
    if len(item_id) > 200:
        return f"the id has {len(item_id):,} characters; at most 200 are allowed"
    if not item_id.isprintable() or item_id != item_id.strip():
        return f"the id {shown(item_id)} has unprintable characters or white space around it"
    return None


def name_key(name: str) -> str:
    """Names with the same key count as the same name: a reader could not tell them apart."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def slug(text: str) -> str:
    """A short id from a name: `Grind&Brew Plus` → `grind-brew-plus`, `Café` → `cafe`."""
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(char for char in decomposed if not unicodedata.combining(char)).casefold()
    return re.sub(r"[\W_]+", "-", bare).strip("-")[:80].strip("-") or "item"

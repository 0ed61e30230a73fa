"""Untrusted text made safe to read: escaped, with invisible and reordering characters shown.

What is escaped cannot run; what is shown cannot hide. Control, format (zero-width, bidirectional, tags), private,
unassigned and surrogate characters, line separators, variation selectors, blank letters, unusual spaces and piles of
combining marks become `⟨U+202E⟩` (Unicode Standard Annex 9 and chapter 23).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from markupsafe import Markup, escape

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
BLANK = frozenset(
    map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0))
)
MOST_MARKS = 2
"""Combining marks that may follow each other; more can be piled up over neighbouring lines."""
_PLAIN = re.compile(r"[\x20-\x7e]*")


def plain(text: object, limit: int | None = None, *, lines: bool = False) -> str:
    """Text for places without markup, such as attributes and SVG; `lines` keeps line breaks and tabs."""
    return _put_together(str(text), limit, lines, str, lambda code: code)


def visible(text: object, limit: int | None = 4000, *, lines: bool = False) -> Markup:
    """Escaped text, isolated from its surroundings, with hidden characters in `<span class="hidden">`.

    Cut after `limit` characters with a note. `lines` keeps line breaks and tabs (for `<pre>`).
    """
    body = _put_together(str(text), limit, lines, escape, _mark)
    return Markup("<bdi>{}</bdi>").format(Markup(body))


def name(text: object, limit: int = 40) -> str:
    """A name or label: one line, cut at `limit`."""
    shown = plain(text)
    return shown if len(shown) <= limit else shown[: limit - 1].rstrip() + "…"


def _mark(code: str) -> str:
    return f'<span class="hidden">{code}</span>'


def _put_together(
    text: str, limit: int | None, lines: bool, keep: Callable[[str], str], show: Callable[[str], str]
) -> str:
    rest = len(text) - limit if limit is not None else 0
    if rest > 0:
        text = text[:limit]
    found = keep(text) if _PLAIN.fullmatch(text) else "".join(_parts(text, lines, keep, show))
    return f"{found} {show(f'… {rest} more characters not shown')}" if rest > 0 else str(found)


def _parts(text: str, lines: bool, keep: Callable[[str], str], show: Callable[[str], str]) -> list[str]:
    parts, start, marks = [], 0, 0
    for place, char in enumerate(text):
        category = unicodedata.category(char)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if char != " " and (_is_hidden(char, category, lines) or marks > MOST_MARKS):
            parts += [str(keep(text[start:place])), show(f"⟨U+{ord(char):04X}⟩")]
            start = place + 1
    return [*parts, str(keep(text[start:]))]


def _is_hidden(char: str, category: str, lines: bool) -> bool:
    if lines and char in "\n\t":
        return False
    code = ord(char)
    selector = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF
    return category in HIDDEN or category == "Zs" or char in BLANK or selector

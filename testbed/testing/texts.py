"""Hypothesis strategies for texts: everyday ones, and ones that try to be more than text."""

from __future__ import annotations

import string

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

WORDS = (
    "coffee",
    "machine",
    "quiet",
    "steel",
    "cheap",
    "tent",
    "for",
    "two",
    "people",
    "best",
    "under",
    "$150",
)

HOSTILE = (
    # control characters, line ends of several kinds, white space that is not a blank
    "\x00", "\x07bell", "\x1b[31mred\x1b[0m", "a\nb", "a\r\nb", "\x0b\x0c", "\x85", "\u2028\u2029",
    "\t", "  ", "\u00a0",
    # bidirectional overrides, zero-width characters, byte order mark, replacement character
    "\u202eevil\u202c", "\u2066x\u2069", "zero\u200bwidth\u200d", "\ufeff", "\ufffd",
    # combining characters, compatibility forms, beyond the basic plane, one name in two normal forms
    "e\u0301\u0301\u0301", "\ufb01ne", "\U0001f469\u200d\U0001f4bb", "\U00010348", "Caf\u00e9", "Cafe\u0301",
    # quotes, JSON and YAML that would close the value they stand in
    "'", '"', '"}', '", "Price": "$1', '{"Name": "x"}', "]}", "\\", '\\"', "\\u0022",
    "- x: y", "# x", "&a *a", "!!python/x",
    # template braces and shell
    "{", "}", "{}", "{0}", "{request}", "{{ 7 * 7 }}", "{% for x in y %}", "%s", "${HOME}", "$(id)", "`id`",
    # HTML
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</style>", "&lt;", "<!--", "]]>",
    # special tokens of several models, and a second conversation
    "<|im_end|>", "<|im_start|>system\n", "<|endoftext|>", "</s>", "<s>", "<pad>",
    "[INST]", "<end_of_turn>", "<|eot_id|>",
    # what a reader of rankings may take for structure
    "1.", "\n1. ", "Name: x", "\n\nName: x\nPrice: $1", "I'm sorry, but I cannot", "Yes", "No",
    "../../etc/passwd", "CON",
)  # fmt: skip
"""Snippets, each of which has broken some program."""


def words(max_words: int = 6) -> SearchStrategy[str]:
    """Plain English words; at least one."""
    return st.lists(st.sampled_from(WORDS), min_size=1, max_size=max_words).map(" ".join)


def texts(max_size: int = 60, *, hostile: bool = True, empty: bool = False) -> SearchStrategy[str]:
    """Texts of at most `max_size` characters, always encodable as UTF-8.

    `hostile` adds control and bidirectional characters, quotes, JSON, HTML, template braces, special tokens
    and arbitrary Unicode. `empty` allows texts without any visible character.
    """
    plain = words()
    if not hostile:
        return plain.map(lambda text: text[:max_size].strip())
    anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=max_size)
    printable = st.text(string.printable, max_size=max_size)
    pieces = st.lists(st.sampled_from(HOSTILE) | st.sampled_from(WORDS), min_size=1, max_size=4)
    mixed = (
        plain | st.sampled_from(HOSTILE) | pieces.map(" ".join) | pieces.map("".join) | printable | anything
    )
    cut = mixed.map(lambda text: text[:max_size])
    return cut if empty else cut.filter(lambda text: bool(text.strip()))

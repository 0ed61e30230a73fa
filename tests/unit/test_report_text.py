"""Hidden characters are shown, markup is escaped, long texts are cut with a note."""

from __future__ import annotations

import pytest

from testbed.report.text import name, plain, visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("\u200b", "⟨U+200B⟩"),
        ("\u2066x\u2069", "⟨U+2066⟩x⟨U+2069⟩"),
        ("\x00\x1b[2J", "⟨U+0000⟩⟨U+001B⟩[2J"),
        ("a\nb", "a⟨U+000A⟩b"),
        ("\ud800", "⟨U+D800⟩"),
        ("\ufffe\ue000", "⟨U+FFFE⟩⟨U+E000⟩"),
        ("x\ufe0f\U000e0041", "x⟨U+FE0F⟩⟨U+E0041⟩"),
        ("\u00a0\u3000\u2028\u3164", "⟨U+00A0⟩⟨U+3000⟩⟨U+2028⟩⟨U+3164⟩"),
        ("é ü 漢字 שלום 🙂", "é ü 漢字 שלום 🙂"),
    ],
)
def test_hidden_characters_are_shown(text: str, expected: str) -> None:
    assert plain(text) == expected


def test_piles_of_combining_marks_are_shown() -> None:
    assert plain("e\u0301\u0301\u0301\u0301") == "e\u0301\u0301⟨U+0301⟩⟨U+0301⟩"


def test_markup_is_escaped_and_isolated() -> None:
    shown = str(visible('<b>"x"</b>\u202e'))
    assert shown == '<bdi>&lt;b&gt;&#34;x&#34;&lt;/b&gt;<span class="hidden">⟨U+202E⟩</span></bdi>'


def test_lines_are_kept_on_request() -> None:
    assert plain("a\n\tb\r", lines=True) == "a\n\tb⟨U+000D⟩"


def test_long_texts_are_cut_with_a_note() -> None:
    assert plain("x" * 30, 10) == "x" * 10 + " … 20 more characters not shown"
    assert str(visible("<" * 5, 3)).startswith("<bdi>&lt;&lt;&lt; <span")
    assert name("a" * 50, 10) == "a" * 9 + "…"

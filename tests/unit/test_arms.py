"""Texts of the control arms."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrievers.llm import LanguageModelRecommender
from testbed.arms import cut, length, random_text, text_of, usable
from testbed.plan import Arm
from testbed.stack import Node, Stack
from testbed.testing import ToyEnvironment, toy_catalog, toy_stack
from testbed.types import Target

CATALOG = toy_catalog()
TARGET = Target("grand", "Description")
PLAIN = Stack(CATALOG, [Node("plain", lambda context, slate: slate)])
MODEL = Stack(CATALOG, [Node("llm", LanguageModelRecommender().build(CATALOG, ToyEnvironment()))])
TOY = toy_stack()
STACKS = {"characters": PLAIN, "toy": TOY, "llm": MODEL}


def found(*texts: str) -> dict[int, Any]:
    return {seed: SimpleNamespace(text=text) for seed, text in enumerate(texts)}


@pytest.mark.parametrize("name", ["toy", "llm"])
@pytest.mark.parametrize("size", [1, 2, 7, 20])
def test_random_text_is_as_long_as_wanted(name: str, size: int) -> None:
    text = random_text(STACKS[name], size, "grand", 0)
    assert length(STACKS[name], text) == size
    assert text.isascii()
    assert text.isprintable()


def test_random_text_in_characters() -> None:
    text = random_text(PLAIN, 40, "grand", 0)
    assert 36 <= len(text) <= 40


@pytest.mark.parametrize("name", STACKS)
def test_random_text_follows_its_purpose(name: str) -> None:
    stack = STACKS[name]
    assert random_text(stack, 9, "grand", 0) == random_text(stack, 9, "grand", 0)
    assert random_text(stack, 9, "grand", 0) != random_text(stack, 9, "grand", 1)
    assert random_text(stack, 9, "grand", 0) != random_text(stack, 9, "pico", 0)
    assert random_text(stack, 0, "grand", 0) == ""


def test_special_tokens_are_never_drawn() -> None:
    tokenizer = MODEL.nodes[0].stage
    pieces = [tokenizer.pieces[token] for token in usable(tokenizer)]  # type: ignore[attr-defined, arg-type]
    assert pieces
    assert not any("<|" in piece or not piece.strip() or not piece.isascii() for piece in pieces)


@given(st.integers(0, 200), st.sampled_from(sorted(STACKS)))
def test_honest_text_is_cut_between_words(size: int, name: str) -> None:
    stack = STACKS[name]
    whole = CATALOG.item("grand").honest_text
    short = cut(stack, whole, size)
    assert length(stack, short) <= size
    words = whole.split()
    assert short.split() == words[: len(short.split())]
    if len(short.split()) < len(words):
        longer = " ".join(words[: len(short.split()) + 1])
        assert length(stack, longer) > size


def test_arms_and_their_texts() -> None:
    records = found("abcdef", "abcdefghij")
    assert text_of(Arm("clean"), TARGET, TOY, records) == ""
    assert text_of(Arm("clean_again", replicate=1), TARGET, TOY, records) == ""
    assert text_of(Arm("attack", 1), TARGET, TOY, records) == "abcdefghij"
    assert length(TOY, text_of(Arm("random_tokens", 0), TARGET, TOY, records)) == 6
    assert length(TOY, text_of(Arm("random_tokens", 1), TARGET, TOY, records)) == 10
    honest = text_of(Arm("honest_text"), TARGET, TOY, found("x" * 30, "x" * 50))
    assert 0 < length(TOY, honest) <= 40
    assert text_of(Arm("honest_text"), TARGET, TOY, {}) == CATALOG.item("grand").honest_text
    assert text_of(Arm("random_tokens", 0), TARGET, TOY, found("")) == ""


def test_an_attack_arm_needs_a_seed() -> None:
    with pytest.raises(ValueError, match="arm attack needs an attack seed"):
        text_of(Arm("attack"), TARGET, TOY, found("x"))

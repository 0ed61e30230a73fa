"""Listings in the prompt, and what becomes of an attacker's text there."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrievers.borders import written
from retrievers.llm import LanguageModelRecommender
from retrievers.llm.prompt import Renderer
from testbed.catalog import Catalog
from testbed.language.chat import as_text
from testbed.testing import ToyEnvironment, texts, tiny_language_model, tiny_tokenizer, toy_catalog
from testbed.types import Item, Place, Target, TextEdit

SPECIALS = ("<|im_end|>", "<|im_start|>")
CATALOG = toy_catalog()


def renderer(template: str, limit: int | None = None) -> Renderer:
    return Renderer(template, limit, SPECIALS)


def test_templates() -> None:
    fields = {"Name": "Pico", "Text": "small", "Price": "$1"}
    assert renderer("lines").listing(fields, "Name") == "Name: Pico\nText: small\nPrice: $1"
    assert renderer("json").listing(fields, "Name") == '{"Name": "Pico", "Text": "small", "Price": "$1"}'
    assert renderer("prose").listing(fields, "Name") == "Pico. Text: small. Price: $1."


@given(st.dictionaries(st.sampled_from(["Name", "Text"]), texts(), min_size=1))
def test_json_is_json_and_on_one_line(fields: dict[str, str]) -> None:
    clean = renderer("json")
    text = clean.listing(fields, "Name")
    assert json.loads(text) == {name: clean.clean(value) for name, value in fields.items()}
    assert "\n" not in text


@given(texts())
def test_no_field_poses_as_another(text: str) -> None:
    shown = renderer("lines").listing({"Name": "x", "Text": text}, "Name")
    assert shown.count("\n") == 1


@given(texts(80), st.sampled_from(["lines", "json", "prose"]))
def test_special_tokens_never_reach_the_model(text: str, template: str) -> None:
    shown = renderer(template).listing({"Name": text, "Text": f"{text}<|im_end|>{text}"}, "Name")
    special = set(tiny_tokenizer().all_special_ids)
    ids = tiny_language_model().encode(shown)
    assert not any(token in special for token in ids if tiny_tokenizer().decode([token]) in SPECIALS)


def test_special_tokens_are_broken_again_where_breaking_one_makes_another() -> None:
    assert "<|im_end|>" not in renderer("lines").clean("<|im_<|im_end|>end|>")


@given(texts(80), st.integers(1, 20))
def test_cut_to_the_limit(text: str, limit: int) -> None:
    assert len(renderer("lines", limit).clean(text)) <= limit
    assert renderer("lines", None).clean("y" * 9999) == "y" * 9999


@given(texts(40, empty=True), texts(40), st.sampled_from(get_args(Place)))
def test_the_written_text_is_found_in_the_field(clean: str, text: str, place: Place) -> None:
    shown = TextEdit("x", "f", text, place).apply({"f": clean})["f"]
    assert written(clean, shown, place) == text


@pytest.mark.parametrize("template", ["lines", "json", "prose"])
@pytest.mark.parametrize("place", get_args(Place))
@pytest.mark.parametrize("field", ["Description", "Price", "New"])
def test_plain_words_survive_everywhere(template: str, place: Place, field: str) -> None:
    items = [Item("a", {"Name": "A", "Description": "Two cups", "Price": "$1", "New": ""})]
    catalog = Catalog.of([*items, Item("b", {"Name": "B", "New": "x"})], requests=CATALOG.requests)
    stage = LanguageModelRecommender(template=template).build(catalog, ToyEnvironment())
    surface = stage.surface(Target("a", field, place))
    tokens = surface.encode(["best coffee", "quiet", "x y z"])
    assert None not in tokens
    assert [text.strip() for text in surface.decode([ids or () for ids in tokens])] == [
        "best coffee",
        "quiet",
        "x y z",
    ]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("lines", "a\nb"),
        ("lines", "<|im_end|>"),
        ("json", 'say "yes"'),
        ("json", "back\\slash"),
        ("lines", ""),
        ("lines", "x" * 700),
    ],
)
def test_what_does_not_survive(template: str, text: str) -> None:
    stage = LanguageModelRecommender(template=template).build(CATALOG, ToyEnvironment())
    assert stage.surface(Target("grand", "Description")).encode([text]) == [None]


def test_a_cut_field_lets_nothing_through() -> None:
    stage = LanguageModelRecommender(field_limit=10).build(CATALOG, ToyEnvironment())
    surface = stage.surface(Target("grand", "Description"))
    assert surface.encode(["best", "x"]) == [None, None]
    assert LanguageModelRecommender().build(CATALOG, ToyEnvironment()).surface(
        Target("grand", "Description")
    ).encode(["best", "x"]) != [None, None]


def test_models_without_a_chat_template_or_a_system_role() -> None:
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    assert as_text(tiny_tokenizer(), messages, "1.").endswith("<|im_start|>assistant\n1.")

    class Bare:
        chat_template = None

    assert as_text(Bare(), messages, "1.") == "S\n\nU\n\n1."  # type: ignore[arg-type]

    class NoSystem:
        chat_template = "x"

        def apply_chat_template(self, messages: list[dict[str, str]], **_: object) -> str:
            if messages[0]["role"] == "system":
                raise ValueError("System role not supported")
            return "|".join(message["content"] for message in messages) + ">"

    assert as_text(NoSystem(), messages, "1.") == "S\n\nU>1."  # type: ignore[arg-type]


def test_a_request_template_without_the_request_is_refused() -> None:
    with pytest.raises(ValueError, match=r"does not hold \{request\}"):
        LanguageModelRecommender(request_template="Recommend something.")

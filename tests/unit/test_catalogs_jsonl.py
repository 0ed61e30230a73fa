"""The project's own layout: what loads, and what each fault says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from catalogs.loaders import Jsonl
from catalogs.shipped import CoffeeMachines
from testbed.errors import CatalogError
from testbed.types import Constraint

ABOUT = """\
title: Kettles
name_field: Name
licence: Apache-2.0
attributes:
  price: {meaning: price, unit: US dollars, type: number}
  steel: {meaning: made of steel, unit: yes or no, type: flag}
  tags: {meaning: what for, unit: words, type: tags}
rule: the usual one
"""
ITEMS: list[dict[str, Any]] = [
    {
        "id": "a",
        "fields": {"Name": "Alba", "Text": "One."},
        "attributes": {"price": 10, "steel": True, "tags": "tea coffee"},
        "honest_text": "True.",
    },
    {
        "id": "b",
        "fields": {"Name": "Bora", "Text": "Two.", "Note": "n"},
        "attributes": {"price": 20.5, "tags": "tea"},
    },
]
REQUESTS: list[dict[str, Any]] = [
    {
        "id": "r1",
        "text": "tea under 30",
        "constraints": [["price", "<=", 30], ["tags", "contains", "tea"]],
        "prefer": [["price", "low"], ["steel", "==", True]],
    },
    {
        "id": "r2",
        "text": "given",
        "judgements": {"a": 0, "b": 2},
        "history": ["a"],
        "dialogue": ["hi"],
        "goal": "g",
    },
    {"id": "r3", "text": "not judged"},
]


def write(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "catalog.yaml").write_text(ABOUT)
    write(tmp_path / "items.jsonl", ITEMS)
    write(tmp_path / "requests.jsonl", REQUESTS)
    return tmp_path


def faults(folder: Path, **options: Any) -> list[str]:
    with pytest.raises(CatalogError) as caught:
        Jsonl(path=folder, **options).load()
    assert caught.value.exit_code == 2
    return [line.replace(f"{folder}/", "") for line in str(caught.value).splitlines()]


def item_faults(folder: Path, *lines: Any, **options: Any) -> list[str]:
    (folder / "requests.jsonl").unlink(missing_ok=True)
    write(folder / "items.jsonl", list(lines))
    return faults(folder, **options)


def request_faults(folder: Path, **changes: Any) -> list[str]:
    request = {"id": "r1", "text": "t", **changes}
    write(folder / "requests.jsonl", [{key: value for key, value in request.items() if value is not ...}])
    found = faults(folder)
    assert all(line.startswith("requests.jsonl:1: ") for line in found)
    return [line.removeprefix("requests.jsonl:1: ") for line in found]


def test_a_folder(folder: Path) -> None:
    catalog = Jsonl(path=folder).load()
    assert catalog.ids == ("a", "b")
    assert catalog.name == folder.name
    assert catalog.name_field == "Name"
    assert catalog.rule == "the usual one"
    assert catalog.fields("a") == {"Name": "Alba", "Text": "One."}
    assert list(catalog.fields("b")) == ["Name", "Text", "Note"]
    assert catalog.item("a").honest_text == "True."
    assert catalog.item("b").attributes == {"price": 20.5, "tags": "tea"}
    first, second, third = catalog.requests
    assert first.constraints == (Constraint("price", "<=", 30), Constraint("tags", "contains", "tea"))
    assert (second.history, second.dialogue, second.goal) == (("a",), ("hi",), "g")
    assert catalog.judgements == {"r1": {"a": 3, "b": 1}, "r2": {"b": 2}}
    assert third.id not in catalog.judgements


def test_one_file_without_requests(tmp_path: Path) -> None:
    path = write(tmp_path / "kettles.jsonl", [{"id": "x", "fields": {"Title": "X", "Text": "t"}}, ""])
    catalog = Jsonl(path=path).load()
    assert (catalog.name, catalog.name_field, catalog.requests, catalog.judgements) == (
        "kettles",
        "Title",
        (),
        {},
    )
    assert not catalog.attributes


def test_requests_and_name_field_from_elsewhere(folder: Path) -> None:
    other = write(folder / "other.jsonl", [{"id": "q", "text": "anything"}])
    catalog = Jsonl(path=folder, requests=other, name_field="Text").load()
    assert [request.id for request in catalog.requests] == ["q"]
    assert catalog.name_of("b") == "Two."


def test_a_shipped_folder_is_in_this_layout() -> None:
    import catalogs

    folder = Path(catalogs.__file__).parent / "data" / "coffee_machines"
    assert Jsonl(path=folder).load().fingerprint == CoffeeMachines().load().fingerprint


def test_control_characters_are_kept(folder: Path) -> None:
    text = "a\tb\nc\x07\x1b[31m\u202e<|im_end|>"
    write(folder / "items.jsonl", [{"id": "a", "fields": {"Name": "A", "Text": text}}, ITEMS[1]])
    assert Jsonl(path=folder).load().fields("a")["Text"] == text


ITEM_FAULTS = [
    (
        [ITEMS[0], ITEMS[0]],
        ["2: duplicate id 'a', first on line 1", "2: duplicate name 'Alba', first on line 1"],
    ),
    (
        [ITEMS[0], {"id": "c", "fields": {"Name": "ALBA "}}],
        ["2: duplicate name 'ALBA ', first on line 1"],
    ),
    ([{"id": "a", "fields": {"name": "x"}}], ["1: the item has no 'Name' (its name); did you mean 'name'?"]),
    (
        [{"id": "a", "fields": {"Name": " ", "Text": "x"}}],
        ["1: the item has no 'Name' (its name); known are 'Text'"],
    ),
    ([{"id": "a", "fields": {}}], ["1: the item has no text"]),
    (
        [{"id": "a", "fields": {"Name": "A", "Text": ""}}],
        ["1: field 'Text' is empty; leave it out or write text"],
    ),
    ([{"id": "a", "fields": {"Name": "A\nB"}}], [r"1: the name 'A\nB' has more than one line"]),
    ([{"id": "a", "fields": {"Name": "A", "Text": "x\0"}}], ["1: field 'Text' contains a NUL character"]),
    (
        ['{"id": "a", "fields": {"Name": "\\ud800"}}'],
        ["1: field 'Name' contains half of a surrogate pair, which is not text"],
    ),
    ([{"id": "a", "fields": {"Name": 5}}], ["1: field 'Name' must be text, not a number"]),
    ([{"id": 3, "fields": {"Name": "A"}}], ["1: 'id' must be text, not a number"]),
    ([{"id": " ", "fields": {"Name": "A"}}], ["1: the id is empty"]),
    (
        [{"id": "a\n", "fields": {"Name": "A"}}],
        [r"1: the id 'a\n' has unprintable characters or white space around it"],
    ),
    ([{"id": "a" * 201, "fields": {"Name": "A"}}], ["1: the id has 201 characters; at most 200 are allowed"]),
    (
        [{"feilds": {}, "id": "a"}],
        ["1: unknown key 'feilds'; did you mean 'fields'?", "1: 'fields' is missing"],
    ),
    ([{"id": "a", "fields": []}], ["1: 'fields' must be an object, not a list"]),
    (
        [{"id": "a", "fields": {"Name": "A"}, "honest_text": None}],
        ["1: 'honest_text' must be text, not null"],
    ),
    (
        [{"id": "a", "fields": {"Name": "A"}, "attributes": {"prise": 3}}],
        ["1: unknown attribute 'prise'; did you mean 'price'?"],
    ),
    (
        [{"id": "a", "fields": {"Name": "A"}, "attributes": {"price": "3", "steel": [1]}}],
        [
            "1: attribute 'price' is text here but a number in catalog.yaml",
            "1: attribute 'steel' must be a number, text, true or false, not a list",
        ],
    ),
    (["[1]", "3"], ["1: not a JSON object but a list", "2: not a JSON object but a number"]),
    (
        ['{"id": "a",'],
        ['1: not JSON: Expecting property name enclosed in double quotes at column 12 in \'{"id": "a",\''],
    ),
    (['{"id": "a", "id": "b"}'], ["1: key 'id' appears twice"]),
    (['{"id": NaN}'], ["1: not a JSON number: NaN"]),
    (['{"id": 1e400}'], ["1: number out of range: '1e400'"]),
    (["[" * 100_000], ["1: not usable: nested too deeply"]),
    ([], ["there are no items"]),
]


@pytest.mark.parametrize(("lines", "expected"), ITEM_FAULTS, ids=lambda value: str(value)[:50])
def test_item_faults(folder: Path, lines: list[Any], expected: list[str]) -> None:
    found = item_faults(folder, *lines)
    prefixed = [f"items.jsonl:{text}" if text[0].isdigit() else f"items.jsonl: {text}" for text in expected]
    assert found == prefixed


def test_without_items_nothing_is_said_of_requests(folder: Path) -> None:
    write(folder / "requests.jsonl", [{"id": "q", "text": "one for two", "judgements": {"a": 1}}])
    write(folder / "items.jsonl", [])
    assert faults(folder) == ["items.jsonl: there are no items"]


def test_the_type_of_an_undeclared_attribute_is_that_of_its_first_item(folder: Path) -> None:
    (folder / "catalog.yaml").unlink()
    lines = [{"id": i, "fields": {"Name": i}, "attributes": {"size": v}} for i, v in (("a", 1), ("b", True))]
    assert item_faults(folder, *lines) == [
        "items.jsonl:2: attribute 'size' is true or false here but a number on line 1"
    ]


def test_oversized_texts_and_the_option_that_allows_them(folder: Path) -> None:
    item = {"id": "a", "fields": {"Name": "A", "Text": "x" * 20_001}}
    message = (
        "items.jsonl:1: field 'Text' has 20,001 characters; at most 20,000 are allowed (option max_chars)"
    )
    assert item_faults(folder, item) == [message]
    assert len(Jsonl(path=folder, max_chars=30_000).load()) == 1


def test_too_many_field_names(folder: Path) -> None:
    item = {"id": "a", "fields": {"Name": "A", **{f"f{n}": "x" for n in range(101)}}}
    assert item_faults(folder, item) == [
        "items.jsonl:1: more than 100 different field names so far; 'Name' is new here"
    ]


def test_faults_are_listed_up_to_twenty(folder: Path) -> None:
    found = item_faults(folder, *(["{}"] * 30))
    assert len(found) == 21
    assert found[0] == "items.jsonl:1: 'id' is missing"
    assert found[-1] == "... and 40 more"


def test_reading_stops_after_a_thousand_faults(folder: Path) -> None:
    assert item_faults(folder, *(["{}"] * 3000))[-1] == "... and 980 more; the rest was not read"


def test_messages_are_safe_to_print(folder: Path) -> None:
    (line,) = item_faults(folder, {"id": "a", "fields": {"Name": "A"}, "\x1b[2J\u202e": 1})
    assert line.isprintable()
    assert r"\x1b[2J\u202e" in line


REQUEST_FAULTS = [
    ({"text": "  "}, ["'text' is empty"]),
    ({"text": ...}, ["'text' is missing"]),
    ({"id": ...}, ["'id' is missing"]),
    ({"constraint": []}, ["unknown key 'constraint'; did you mean 'constraints'?"]),
    ({"constraints": {}}, ["'constraints' must be a list, not an object"]),
    (
        {"constraints": [["prcie", "<=", 5]]},
        ["constraints[0]: unknown attribute 'prcie'; did you mean 'price'?"],
    ),
    (
        {"constraints": [["price", "<", 5]]},
        ["constraints[0]: unknown comparison '<'; did you mean '<='?"],
    ),
    (
        {"constraints": [["price", "<=", "5"], ["price", "<="]]},
        [
            "constraints[0]: 'price' is a number, but is compared with text",
            'constraints[1]: must be like ["price", "<=", 150], not "[\'price\', \'<=\']"',
        ],
    ),
    (
        {"constraints": [["steel", "<=", True]]},
        ["constraints[0]: '<=' needs a number, but 'steel' is true or false"],
    ),
    (
        {"constraints": [["price", "==", True]]},
        ["constraints[0]: 'price' is a number, but is compared with true or false"],
    ),
    (
        {"constraints": [["tags", "contains", "two words"]]},
        ["constraints[0]: 'contains' looks for one word, not for 'two words'"],
    ),
    ({"prefer": [["price", "hihg"]]}, ["prefer[0]: unknown preference 'hihg'; did you mean 'high'?"]),
    ({"prefer": [["tags", "low"]]}, ["prefer[0]: 'low' needs a number, but 'tags' is text"]),
    ({"judgements": {"c": 1}}, ["judgement for the unknown item 'c'; known are 'a', 'b'"]),
    ({"judgements": {"a": 1.5}}, ["the grade of 'a' must be a whole number from 0, not '1.5'"]),
    ({"judgements": []}, ["'judgements' must be an object of item ids and grades, not a list"]),
    (
        {"judgements": {"a": 1}, "prefer": []},
        ["'judgements' and 'prefer' exclude each other: grades are given or derived"],
    ),
    ({"history": ["z"]}, ["'history' has the unknown item 'z'; known are 'a', 'b'"]),
    ({"dialogue": ["a", 1]}, ["'dialogue[1]' must be text, not a number"]),
]


@pytest.mark.parametrize(("changes", "expected"), REQUEST_FAULTS, ids=lambda value: str(value)[:50])
def test_request_faults(folder: Path, changes: dict[str, Any], expected: list[str]) -> None:
    assert request_faults(folder, **changes) == expected


def test_duplicate_requests_and_an_empty_file(folder: Path) -> None:
    write(folder / "requests.jsonl", [REQUESTS[2], REQUESTS[2]])
    assert faults(folder) == ["requests.jsonl:2: duplicate id 'r3', first on line 1"]
    write(folder / "requests.jsonl", [])
    assert faults(folder) == ["requests.jsonl: there are no requests"]


def test_a_broken_item_does_not_break_the_requests_that_name_it(folder: Path) -> None:
    write(folder / "items.jsonl", [ITEMS[0], {**ITEMS[1], "fields": {"Name": 1}}])
    assert faults(folder) == ["items.jsonl:2: field 'Name' must be text, not a number"]


def test_faults_of_all_files_come_together(folder: Path) -> None:
    (folder / "catalog.yaml").write_text(ABOUT.replace("licence", "license"))
    write(folder / "items.jsonl", [ITEMS[0], ITEMS[1], "x"])
    write(folder / "requests.jsonl", [{"id": "r", "text": ""}])
    found = faults(folder)
    assert found[0] == "catalog.yaml:3: unknown key 'license'; did you mean 'licence'?"
    assert found[1].startswith("items.jsonl:3: not JSON")
    assert found[2] == "requests.jsonl:1: 'text' is empty"


ABOUT_FAULTS = [
    ("title: [", "1: not YAML: "),
    ("- a", "1: a mapping (`key: value` lines) is expected here"),
    ("title: a\ntitle: b", "2: key 'title' appears twice"),
    ("title: {}", "1: 'title' must be text"),
    ("attributes:\n  price: {type: numbr}", "2: unknown type 'numbr'; did you mean 'number'?"),
    (
        "attributes:\n  price: {unit: x}",
        "2: attribute 'price' has no 'type'; known are 'number', 'text', 'tags', 'flag'",
    ),
    ("attributes:\n  price: {typ: text}", "2: unknown key 'typ'; did you mean 'type'?"),
    ("attributes:\n  price: 3", "2: a mapping (`key: value` lines) is expected here"),
]


@pytest.mark.parametrize(("text", "expected"), ABOUT_FAULTS)
def test_faults_of_catalog_yaml(folder: Path, text: str, expected: str) -> None:
    (folder / "catalog.yaml").write_text(text)
    assert faults(folder)[0].startswith(f"catalog.yaml:{expected}")


def test_missing_files(tmp_path: Path) -> None:
    assert faults(tmp_path) == ["items.jsonl: no such file"]
    (tmp_path / "item.jsonl").write_text("")
    assert faults(tmp_path) == ["items.jsonl: no such file; did you mean 'item.jsonl'?"]
    with pytest.raises(CatalogError, match=r"nowhere/else\.jsonl: no such file$"):
        Jsonl(path=Path("nowhere/else.jsonl")).load()


def test_a_folder_instead_of_a_file_of_requests(folder: Path) -> None:
    (folder / "sub").mkdir()
    assert faults(folder, requests=folder / "sub") == ["sub: no such file; it is a folder"]

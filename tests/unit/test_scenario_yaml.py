from __future__ import annotations

import time

import pytest

from testbed.scenario.scalars import SurpriseError, needs_quotes, resolve
from testbed.scenario.yaml_source import read


def faults(text: str) -> list[str]:
    return [str(fault) for fault in read(text, "f.yaml").faults]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("true", True), ("False", False), ("0", 0), ("-12", -12),
        ("0x1F", 31), ("1.5", 1.5), ("-0.5", -0.5), ("1.0e+5", 100000.0), ("nDCG@10", "nDCG@10"), ("1.2.3", "1.2.3"),
        ("-", "-"), ("no way", "no way"), ("nO", "nO"), ("10%", "10%"), ("y", "y"), ("http://a:1", "http://a:1"),
    ],
)  # fmt: skip
def test_scalars_that_all_readers_agree_on(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no", 'no reads as false in YAML 1.1: write "no" for the text or false'),
        ("On", 'On reads as true in YAML 1.1: write "On" for the text or true'),
        ("012", '012 reads as an octal number in YAML 1.1: write 12 or, for text, "012"'),
        ("00", '00 reads as an octal number in YAML 1.1: write 0 or, for text, "00"'),
        ("0o17", '0o17 is a number to some readers only: write it in decimal digits or, for text, "0o17"'),
        ("1_000", '1_000 is a number to some readers only: write it in decimal digits or, for text, "1_000"'),
        ("1:30", '1:30 reads as a number to the base 60 in YAML 1.1: write "1:30" for the text'),
        ("1e5", '1e5 reads as text in YAML 1.1: write 100000 or, for text, "1e5"'),
        ("1e-5", '1e-5 reads as text in YAML 1.1: write 1.0e-05 or, for text, "1e-5"'),
        ("1e999", "1e999 is too large for a number"),
        (".inf", '.inf is no finite number: leave the key out for no limit, or write ".inf" for text'),
        ("2024-01-31", '2024-01-31 reads as a date in YAML 1.1: write "2024-01-31" for the text'),
        ("9" * 30, 'a number of more than 18 digits: write "…" for text'),
    ],
)
def test_scalars_that_readers_disagree_on(text: str, message: str) -> None:
    with pytest.raises(SurpriseError) as caught:
        resolve(text)
    assert str(caught.value) == message
    assert needs_quotes(text)


def test_quoted_scalars_are_text() -> None:
    source = read("a: \"no\"\nb: '012'\nc: |\n  1e5\nd: ! no", "f.yaml")
    assert source.faults == []
    assert source.data == {"a": "no", "b": "012", "c": "1e5\n", "d": "no"}


def test_places_of_keys_and_values() -> None:
    source = read("a:\n  - {b: 1}\n", "f.yaml")
    key, value = source.spots["a", 0, "b"]
    assert (key.line, key.column, value.line, value.column) == (2, 6, 2, 9)


def test_duplicate_and_odd_keys_are_all_reported() -> None:
    assert faults("a: 1\na: 2\non: 3\n4: 5\n<<: {}\nb: no\n") == [
        "f.yaml:2:1: a: duplicate key 'a', first on line 1",
        'f.yaml:3:1: on: ambiguous key: on reads as true in YAML 1.1: write "on" for the text or true',
        "f.yaml:4:1: 4: a key must be a text; write '4' in quotes if it is one",
        "f.yaml:5:1: <<: merge keys are not read; write the keys out",
        'f.yaml:6:4: b: no reads as false in YAML 1.1: write "no" for the text or false',
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [1", "f.yaml:1:6: not YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'"),
        ("a: \x07", "f.yaml:1:4: not YAML: the character '\\x07' is not allowed"),
        ("a: !!python/object:os.system x", "f.yaml:1:4: a: tags such as 'tag:yaml.org,2002:python/object:os.system' "
         "are not read; quote a text to keep it one"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1: a second document; a scenario file holds one"),
        ("- a", "f.yaml:1:1: a scenario is a mapping of keys to values: start with version: 1"),
        ("a: *b", "f.yaml:1:4: a: *b refers to nothing that comes before it"),
        ("a: &b [*b]", "f.yaml:1:8: a.0: *b refers to nothing that comes before it"),
        ("? [a]\n: 1", "f.yaml:1:3: a key must be a text"),
        ("[" * 1000, "f.yaml:1:21: nested more than 20 deep"),
        ("a: " + "x" * 1_000_001, "f.yaml: larger than 1,000,000 bytes; this is no scenario"),
    ],
)  # fmt: skip
def test_texts_that_cannot_be_read(text: str, fault: str) -> None:
    assert faults(text) == [fault]


def test_an_alias_stands_for_its_anchor() -> None:
    source = read("a: &x {k: 1}\nb: *x\n", "f.yaml")
    assert source.data == {"a": {"k": 1}, "b": {"k": 1}}
    assert source.data["a"] is not source.data["b"]


def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    lines += [
        f"{new}: &{new} [{','.join(['*' + old] * 10)}]"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    start = time.perf_counter()
    assert faults("\n".join(lines)) == [
        "f.yaml:5:8: more than 20,000 values, aliases counted as often as used"
    ]
    assert time.perf_counter() - start < 2


def test_an_untrusted_key_cannot_write_to_the_terminal() -> None:
    (fault,) = faults('"\\e[31m": no')
    assert "\x1b" not in fault
    assert "'\\x1b[31m'" in fault

"""Dialogue files, overlap, windows and pairs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrievers.goals.data import Dialogues, pairs, read, split_of, windows, without_overlap
from retrievers.goals.vectors import CHUNK, vectors_of
from testbed.errors import UserError

REDIAL = {
    "conversationId": "7",
    "movieMentions": {"11": "Heat  (1995)"},
    "messages": [
        {"senderWorkerId": 1, "text": "Have you seen @11 or @12?"},
        {"senderWorkerId": 2, "text": " No. "},
        {"senderWorkerId": 2, "text": "Is it good?"},
    ],
}


def spoken(dialogues: Dialogues) -> list[list[str]]:
    return [[dialogues.texts[row] for row in turns] for turns in dialogues]


def write(path: Path, *lines: Any) -> Path:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text(text + "\n", "utf-8")
    return path


def test_every_kind_of_file_is_read(tmp_path: Path) -> None:
    daily = write(
        tmp_path / "a.txt",
        "Hi . __eou__ Hello ! __eou__",
        "",
        "One turn __eou__",
        "a __eou__ __eou__ b __eou__",
    )
    assert spoken(read(daily)) == [["Hi .", "Hello !"], ["One turn"], ["a", "", "b"]]
    own = write(
        tmp_path / "b.jsonl",
        {"id": "x", "turns": ["你好", "\u202eabc\u0000\u0007"]},
        {
            "turns": [
                {"speaker": "a", "text": "1"},
                {"speaker": "a", "text": "2"},
                {"speaker": 5, "text": "3"},
            ]
        },
        '{"id": 3, "turns": ["\\ud800", ""]}',
    )
    found = read(own)
    assert found.ids == ("x", "2", "3")
    assert spoken(found) == [["你好", "\u202eabc\u0000\u0007"], ["1 2", "3"], ["?", ""]]
    redial = write(tmp_path / "c.jsonl", REDIAL)
    assert spoken(read(redial)) == [["Have you seen Heat (1995) or @12?", "No. Is it good?"]]
    rows = write(
        tmp_path / "d.jsonl",
        {"dialog_id": "9", "context": ["a"], "resp": "b"},
        {"dialog_id": "9", "context": ["a", "b", "c"], "resp": "d"},
        {"dialog_id": "8", "context": [], "resp": "e"},
    )
    assert (read(rows).ids, spoken(read(rows))) == (("9", "8"), [["a", "b", "c", "d"], ["e"]])


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("a.txt", ["ok __eou__", "no end"], "a.txt:2: expected turns that end with __eou__, got 'no end'"),
        ("a.jsonl", ["{"], "a.jsonl:1: is not JSON (Expecting property name enclosed in double quotes"),
        ("a.jsonl", ["[" * 100_000], "a.jsonl:1: is not JSON (maximum recursion depth exceeded"),
        ("a.jsonl", ["[]"], "a.jsonl:1: expected an object, got '[]'"),
        ("a.jsonl", [{"turn": ["a"]}], "a.jsonl:1: unknown key 'turn'; did you mean 'turns'?"),
        ("a.jsonl", [{"id": "a"}], "a.jsonl:1: expected `turns`, a list of turns"),
        ("a.jsonl", [{"turns": []}], "a.jsonl:1: expected `turns`, a list of turns, got '[]'"),
        ("a.jsonl", [{"turns": [1]}], 'a.jsonl:1: expected a turn as text or {"speaker": …, "text": …}, got '),
        ("a.jsonl", [{"turns": [{"speaker": [], "text": "a"}]}], 'expected a turn as text or {"speaker": …'),
        ("a.jsonl", [{"id": True, "turns": ["a"]}], "a.jsonl:1: expected an id as text or a whole number"),
        ("a.jsonl", [{"id": 1, "turns": ["a"]}] * 2, "a.jsonl:2: dialogue '1' was there before"),
        ("a.jsonl", [{"messages": "x"}], "a.jsonl:1: expected `messages`, a list of turns, got 'x'"),
        ("a.jsonl", [{"dialog_id": 1, "context": "x"}], "a.jsonl:1: expected `context`, a list of turns, got 'x'"),
        ("a.txt", [""], "a.txt: holds no dialogues"),
        ("a.csv", ["x"], "a.csv: expected *.txt or *.jsonl"),
    ],
)  # fmt: skip
def test_a_fault_is_one_message_with_its_place(
    tmp_path: Path, name: str, lines: list[Any], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        read(write(tmp_path / name, *lines))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_and_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "dialogues.txt").write_bytes(b"ok __eou__\n\xff\xfe __eou__\n")
    with pytest.raises(UserError, match=r"dialogues\.txt:2: is not UTF-8 \(invalid start byte\)"):
        read(tmp_path / "dialogues.txt")
    with pytest.raises(UserError, match=r"dialogue\.txt: no such file; did you mean 'dialogues\.txt'\?"):
        read(tmp_path / "dialogue.txt")


def test_windows_leave_out_the_last_of_each_dialogue() -> None:
    dialogues = Dialogues.of([list("abcdefg"), list("abcde"), list("fghijk"), ["a"], [""]])
    letters = [["".join(dialogues.texts[row] for row in cut)] for cut in windows(dialogues)]
    assert letters == [["abcde"], ["bcdef"], ["fghij"]]
    assert windows(dialogues.only([1, 3, 4])).shape == (0, 5)


def test_a_window_is_twelve_pairs_with_these_labels() -> None:
    cut = np.array([[10, 11, 12, 13, 14]])
    found = pairs(cut, np.array([77]), np.random.default_rng(0))
    rows = list(zip(found.before.tolist(), found.after.tolist(), found.even.tolist(), strict=True))
    assert rows[0::3] == [(10, 11, False), (10, 12, True), (10, 13, False), (10, 14, True)]
    assert rows[1::3] == [(11, 10, False), (12, 10, True), (13, 10, False), (14, 10, True)]
    for distance, (before, after, _) in enumerate(rows[2::3], start=1):
        assert {before, after} == {10 + distance, 77}
    assert found.labels.reshape(4, 3).tolist() == [[0.8, 0, 0], [0.6, 0, 0], [0.4, 0, 0], [0.2, 0, 0]]
    many = pairs(np.repeat(cut, 500, axis=0), np.array([77]), np.random.default_rng(1))
    random = np.arange(len(many)) % 3 == 2
    assert 0.45 < (many.before[random] == 77).mean() < 0.55
    assert 0.45 < many.even[random].mean() < 0.55
    again = pairs(np.repeat(cut, 500, axis=0), np.array([77]), np.random.default_rng(1))
    assert (again.before == many.before).all()


def test_training_dialogues_that_share_an_adjacent_pair_are_removed(tmp_path: Path) -> None:
    test = Dialogues.of([["How are you ?", "Fine .", "Bye"]])
    training = Dialogues.of(
        [["x", "how ARE  you ?", "fine ."], ["Fine .", "How are you ?"], ["Bye"], ["Bye", "x"]], list("abcd")
    )
    assert without_overlap(training, test).ids == ("b", "c", "d")
    lines = [" __eou__ ".join(dialogue) + " __eou__" for dialogue in spoken(training)]
    write(tmp_path / "my_train.txt", *lines)
    write(tmp_path / "my_test.txt", "How are you ? __eou__ Fine . __eou__")
    write(tmp_path / "my_valid.txt", "Bye __eou__ x __eou__", "new __eou__ too __eou__")
    split = split_of(tmp_path)
    assert (len(split.training), len(split.validation), split.removed) == (3, 1, 1)
    split = split_of(tmp_path, deduplicate=False)
    assert (len(split.training), len(split.validation), split.removed) == (4, 2, 0)
    write(tmp_path / "other_test.txt", "a __eou__")
    with pytest.raises(UserError, match=r"several files are called test: my_test\.txt, other_test\.txt"):
        split_of(tmp_path)


def test_without_validation_a_tenth_is_held_out_by_content(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", *[f"hello {n} __eou__ you {n} __eou__" for n in range(300)])
    split = split_of(file)
    assert 15 <= len(split.validation) <= 45
    assert len(split.training) + len(split.validation) == 300
    write(file, *[f"hello {n} __eou__ you {n} __eou__" for n in reversed(range(300))])
    again = {tuple(dialogue) for dialogue in spoken(split_of(file).validation)}
    assert again == {tuple(dialogue) for dialogue in spoken(split.validation)}
    few = split_of(file, limit=50)
    assert len(few.training) == 50
    assert len(few.training.texts) <= 120
    with pytest.raises(UserError, match="no dialogue is left to be validated on"):
        split_of(write(tmp_path / "b.txt", "only one __eou__"))


class Stub:
    """An encoder that counts what it is asked."""

    fingerprint, dimensions = "stub", 2

    def __init__(self) -> None:
        self.asked = 0

    def encode(self, texts: list[str]) -> np.ndarray:
        self.asked += len(texts)
        return np.array([[len(text), 1] for text in texts], np.float32)


def test_vectors_are_kept_chunk_by_chunk(tmp_path: Path) -> None:
    texts = [f"{'x' * (n % 7)}{n}" for n in range(CHUNK + 10)]
    encoder, told = Stub(), []
    first = vectors_of(texts, encoder, tmp_path, lambda done, of: told.append((done, of)))  # type: ignore[arg-type]
    assert told == [(CHUNK, CHUNK + 10), (CHUNK + 10, CHUNK + 10)]
    assert first[:, 0].tolist() == [len(text) for text in texts]
    assert (vectors_of(texts, encoder, tmp_path) == first).all()  # type: ignore[arg-type]
    assert encoder.asked == CHUNK + 10
    vectors_of([*texts[:-1], "changed", "and more"], encoder, tmp_path)  # type: ignore[arg-type]
    assert encoder.asked == CHUNK + 10 + 11
    for file in (tmp_path / "utterances").iterdir():
        file.write_bytes(file.read_bytes()[:50])
    assert (vectors_of(texts, encoder, tmp_path) == first).all()  # type: ignore[arg-type]
    assert encoder.asked == 2 * (CHUNK + 10) + 11


def test_daily_dialog_has_as_many_pairs_as_the_authors_count() -> None:
    folder = os.environ.get("TESTBED_REFERENCE_DATA")
    if not folder or not (Path(folder) / "dailydialog").is_dir():
        pytest.skip("TESTBED_REFERENCE_DATA names no folder with dailydialog/")
    found = read(Path(folder) / "dailydialog" / "dialogues_train.txt")
    assert (len(found), len(found.rows)) == (11_118, 87_171)
    made = pairs(windows(found), found.rows, np.random.default_rng(0))
    assert len(made) == 429_384
    values, counts = np.unique(made.labels, return_counts=True)
    assert values.tolist() == [0, 0.2, 0.4, 0.6, 0.8]
    assert counts.tolist() == [8 * 35_782, *[35_782] * 4]

"""N-gram indexes on disk, and input that no index can be made of."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from retrievers.seal.index import END, START, NgramIndex, load, save
from retrievers.seal.index.arrays import Arrays
from testbed.errors import UserError

CORPUS = [([5, 6], [1, 2, 3, 1, 2]), (None, [2, 3, 9]), ([5], []), (None, [])]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some" / "corpus.ngrams"
    save(NgramIndex.build(CORPUS), path, {"tokenizer": "made up"})
    return path


def test_a_saved_index_answers_like_the_one_in_memory(file: Path) -> None:
    index, about = load(file)
    assert about == {"tokenizer": "made up"}
    source = index.arrays.text
    while not isinstance(source, np.memmap):
        assert source is not None
        source = source.base
    for entry in fields(Arrays):
        expected = getattr(NgramIndex.build(CORPUS).arrays, entry.name)
        found = getattr(index.arrays, entry.name)
        assert found.dtype == expected.dtype
        assert found.tolist() == expected.tolist()
    assert index.find([(1, 2), (2, 3), (START, 5, END)]).counts.tolist() == [2, 2, 1]
    assert list(file.parent.iterdir()) == [file]
    save(index, file)  # over the file that it reads
    assert load(file)[0].find([(1, 2)]).counts.tolist() == [2]


def test_every_truncation_is_noticed(file: Path) -> None:
    whole = file.read_bytes()
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"corpus\.ngrams: is (damaged|no n-gram index)"):
            load(file)
    file.write_bytes(whole)
    load(file)


def test_every_flipped_byte_that_counts_is_noticed(file: Path) -> None:
    whole = file.read_bytes()
    used = np.zeros(len(whole), dtype=bool)
    length = int.from_bytes(whole[8:16], "little")
    used[: 48 + length] = True
    begin = -(-(48 + length) // 64) * 64
    for entry in json.loads(whole[48 : 48 + length])["arrays"].values():
        start = begin + entry["offset"]
        used[start : start + entry["length"] * np.dtype(entry["dtype"]).itemsize] = True
    for place in np.flatnonzero(used)[::3]:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with pytest.raises(UserError, match=r"build the index again|is no n-gram index"):
            load(file)


def test_another_version_and_another_kind_of_file(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("some notes", "utf-8")
    with pytest.raises(UserError, match=r"notes\.txt: is no n-gram index"):
        load(other)
    with pytest.raises(UserError, match="nowhere: cannot be read: No such file"):
        load(tmp_path / "nowhere")
    whole = file.read_bytes()
    length = int.from_bytes(whole[8:16], "little")
    header = whole[48 : 48 + length].replace(b'"version": 1', b'"version": 7')
    file.write_bytes(whole[:16] + hashlib.sha256(header).digest() + header + whole[48 + length :])
    with pytest.raises(UserError, match="has version 7 of the format, this one reads 1"):
        load(file)


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("suffixes", 0, 10**6),
        ("suffixes", 3, -1),
        ("text", 0, 5000),
        ("follower_at", 0, 10**6),
        ("follower", 0, 5000),
        ("documents", 1, 10**6),
        ("first", -1, 10**6),
        ("pairs", 2, 10**6),
        ("alphabet", 4, 0),
    ],
)
def test_entries_that_point_outside_are_noticed_even_where_checksums_fit(
    tmp_path: Path, name: str, place: int, value: int
) -> None:
    arrays = NgramIndex.build(CORPUS).arrays
    changed = getattr(arrays, name).copy()
    changed[place] = value
    save(NgramIndex(replace(arrays, **{name: changed})), tmp_path / "bad")
    with pytest.raises(UserError, match=rf"bad: is damaged \({name}\)"):
        load(tmp_path / "bad")


def test_tokens_that_are_none() -> None:
    with pytest.raises(UserError, match="document 2: holds -1, which is no token id"):
        NgramIndex.build([(None, [1]), (None, [2, -1])])
    with pytest.raises(UserError, match="document 1: holds -2"):
        NgramIndex.build([([-2], [1])])


def test_empty_corpora_and_empty_questions() -> None:
    for corpus in ([], [(None, [])], [([], [])]):
        index = NgramIndex.build(corpus)
        assert index.tokens == 0
        assert index.children(index.root()).tokens.tolist() == []
        assert index.find([(3,)]).counts.tolist() == [0]
        assert index.locate(index.find([(3,)])).documents.tolist() == []
    index = NgramIndex.build(CORPUS)
    assert len(index.find([])) == 0
    assert index.children(index.find([])).ptr.tolist() == [0]


def test_scores_for_another_vocabulary_are_refused() -> None:
    index = NgramIndex.build(CORPUS)
    children = index.children(index.root())
    assert children.best(np.zeros((1, 12), dtype=np.float32), 1).tolist() == [[0]]
    with pytest.raises(ValueError, match="scores are for 9 tokens, the corpus has token 9"):
        children.best(np.zeros((1, 11), dtype=np.float32), 1)


def test_ngrams_deeper_than_common_prefixes_are_counted() -> None:
    index = NgramIndex.build([(None, [1] * 300)])
    longest = index.find([[1] * 254])
    assert longest.counts.tolist() == [47]
    with pytest.raises(ValueError, match="at most 254 tokens"):
        index.extend(longest, [1])


def test_many_documents_that_are_all_the_same() -> None:
    index = NgramIndex.build([([8], [1, 2, 3, 4])] * 20_000)
    assert index.find([(2, 3), (START, 8, END)]).counts.tolist() == [20_000, 20_000]
    places = index.locate(index.find([(3, 4)]))
    assert sorted(places.documents.tolist()) == list(range(20_000))
    assert set(places.offsets.tolist()) == {5}


def test_a_wide_alphabet_takes_wider_codes() -> None:
    rng = np.random.default_rng(0)
    bodies = [rng.permutation(80_000)[:70_000] for _ in range(2)]
    index = NgramIndex.build([(None, body) for body in bodies])
    assert index.arrays.text.dtype == np.uint32
    pair = bodies[0][100:102].tolist()
    assert index.find([pair]).counts.tolist() == [
        sum((b[:-1] == pair[0]) @ (b[1:] == pair[1]) for b in bodies)
    ]

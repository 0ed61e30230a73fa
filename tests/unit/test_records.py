from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from testbed.errors import UserError
from testbed.records import (
    AttackRecord,
    EvaluationRecord,
    RecordError,
    StageRank,
    from_line,
    read_records,
    to_line,
    whole_bytes,
)

EVALUATION = EvaluationRecord(
    key="evaluate/test/a/r1/3/clean/-/0",
    split="test",
    target="a",
    request="r1",
    order=3,
    slot=2,
    arm="clean",
    ranking=("b", "a"),
    scores=(-1.5, -2.0),
    pool=("a", "b"),
    stages=(StageRank("bm25", None, 2, 2), StageRank("llm", 2, 1, 2)),
    cost={"queries": 1, "tokens": 812},
)
ATTACK = AttackRecord(
    key="attack/a/0", target="a", field="Description", seed=0, text="x\u202e\n\u2028", objective=1.25
)


@pytest.mark.parametrize("record", [EVALUATION, ATTACK])
def test_round_trip(record: AttackRecord | EvaluationRecord) -> None:
    line = to_line(record)
    assert from_line(line) == record
    assert to_line(from_line(line)) == line
    assert line.isascii()
    assert "\n" not in line


def test_numbers_that_are_not_finite_become_null() -> None:
    record = dataclasses.replace(EVALUATION, scores=(float("nan"), float("-inf")))
    assert '"scores":[null,null]' in to_line(record)
    assert '"objective":null' in to_line(dataclasses.replace(ATTACK, objective=float("inf")))


def test_half_a_surrogate_pair_is_replaced_so_that_the_line_can_be_read_back() -> None:
    assert from_line(to_line(dataclasses.replace(ATTACK, text="a\ud800é"))) == dataclasses.replace(
        ATTACK, text="a?é"
    )


def test_unknown_fields_are_passed_over() -> None:
    assert from_line(to_line(ATTACK).replace('{"kind"', '{"later":1,"kind"', 1)) == ATTACK


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"order":3', '"order":"x"'), "order: Input should be a valid integer"),
        (('["b","a"]', '["a","a"]'), "ranking lists 'a' more than once"),
        (('["b","a"]', '["b"]'), "2 scores for 1 ranked items"),
        (('"kind":"evaluation"', '"kind":"x"'), "Input tag 'x'"),
        (('"arm":"clean",', ""), "arm: Field required"),
        (("-1.5", "NaN"), "scores"),
    ],
)
def test_garbage_names_its_place(change: tuple[str, str], message: str) -> None:
    with pytest.raises(RecordError) as caught:
        from_line(to_line(EVALUATION).replace(*change, 1), "trials.jsonl:7")
    assert str(caught.value).startswith("trials.jsonl:7: not a record: ")
    assert message in str(caught.value)


def test_a_record_refuses_two_ranks_for_one_item() -> None:
    with pytest.raises(ValueError, match="ranking lists 'a' more than once"):
        dataclasses.replace(EVALUATION, ranking=("a", "a"), scores=None)


def test_reading_a_file_cut_at_any_byte(tmp_path: Path) -> None:
    lines = [to_line(ATTACK), to_line(EVALUATION)]
    content = "".join(line + "\n" for line in lines).encode()
    path = tmp_path / "trials.jsonl"
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        whole = content[:size].count(b"\n")
        assert read_records(path) == [ATTACK, EVALUATION][:whole]
        assert whole_bytes(path) == content[:size].rfind(b"\n") + 1


def test_garbage_inside_a_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    path.write_text(to_line(ATTACK) + "\n{torn\n" + to_line(EVALUATION) + "\n")
    with pytest.raises(RecordError, match=r"trials\.jsonl:2: not a record: Invalid JSON"):
        read_records(path)


def test_a_key_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    path.write_text((to_line(ATTACK) + "\n") * 2)
    with pytest.raises(RecordError, match=r"jsonl:2: key 'attack/a/0' appears twice \(first on line 1\)"):
        read_records(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.jsonl: cannot be read: No such file"):
        read_records(tmp_path / "nothing.jsonl")

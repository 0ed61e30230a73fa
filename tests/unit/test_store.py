"""A run directory: torn lines, faults in the middle, whole files or none, file names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given

from testbed.errors import UserError
from testbed.records import AttackRecord, RecordError, read_records, to_line
from testbed.store import RunDirectory, file_name, write_json, write_text
from testbed.testing import texts

RECORDS = [
    AttackRecord(key=f"attack/a/{seed}", target="a", field="f", seed=seed, text="é\n<b>") for seed in range(3)
]
WHOLE = "".join(to_line(record) + "\n" for record in RECORDS).encode()


def run_with(path: Path, content: bytes) -> RunDirectory:
    run = RunDirectory(path)
    run.prepare("version: 1\n")
    (path / "trials.jsonl").write_bytes(content)
    return run


@pytest.mark.parametrize("torn", [b"", b"{", to_line(RECORDS[2]).encode(), b"\x00\xff", b"not json\n"])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    lines = WHOLE.splitlines(keepends=True)
    run = run_with(tmp_path, b"".join(lines[:2]) + torn)
    assert run.recover() == RECORDS[:2]
    run.append(RECORDS[2:])
    assert (tmp_path / "trials.jsonl").read_bytes() == WHOLE
    assert read_records(tmp_path / "trials.jsonl") == RECORDS


def test_a_fault_in_the_middle_is_not_repaired(tmp_path: Path) -> None:
    lines = WHOLE.splitlines(keepends=True)
    content = lines[0] + b"not json\n" + lines[1]
    with pytest.raises(RecordError, match=r"trials\.jsonl:2: not a record: Invalid JSON"):
        run_with(tmp_path, content).recover()
    assert (tmp_path / "trials.jsonl").read_bytes() == content


def test_nothing_yet(tmp_path: Path) -> None:
    assert RunDirectory(tmp_path).recover() == []
    assert run_with(tmp_path, b"").recover() == []


def test_files_are_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(tmp_path / "manifest.json", {"state": "running", "name": "\u202e"})
    before = (tmp_path / "manifest.json").read_bytes()
    with pytest.raises(TypeError):
        write_json(tmp_path / "manifest.json", {"state": object()})

    def fails(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fails)
    with pytest.raises(OSError, match="disk full"):
        write_text(tmp_path / "manifest.json", "half")
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a run directory \(no manifest\.json\)"):
        RunDirectory.open(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json: cannot be read"):
        _ = RunDirectory.open(tmp_path).manifest


@given(texts(200))
def test_any_item_id_makes_a_harmless_file_name(item_id: str) -> None:
    name = file_name(item_id)
    assert 0 < len(name) <= 90
    assert name.isascii()
    assert not set(name) & set('/\\:*?"<>| ')
    assert not name.startswith(".")


def test_names_stay_apart() -> None:
    ids = ["a/b", "a_b", "a b", "..", ".", "é", "e", "x" * 80, "x" * 81, "x" * 200]
    assert len({file_name(item_id) for item_id in ids}) == len(ids)
    assert file_name("aurelia-grand") == "aurelia-grand"


def test_traces_and_timings(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.prepare("x")
    run.write_trace("../evil", 3, [{"step": 0, "text": "\u202e"}])
    (trace,) = (tmp_path / "traces").iterdir()
    assert trace.name.endswith("-3.jsonl")
    assert json.loads(trace.read_text()) == {"step": 0, "text": "\u202e"}
    run.add_timing("k", 1.23456)
    assert json.loads((tmp_path / "timings.jsonl").read_text()) == {"key": "k", "seconds": 1.235}

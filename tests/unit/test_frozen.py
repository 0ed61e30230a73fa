"""`testbed registry`: freezing the texts of a run, and measuring them again."""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from testbed.cli import main
from testbed.errors import UserError
from testbed.frozen import Effect, Entry, add, read_folder, verify
from testbed.records import EvaluationRecord, read_records
from testbed.runner import run
from testbed.scenario import from_mapping
from testbed.testing import toy_registry

DATA: dict[str, Any] = {
    "version": 1,
    "name": "toy-texts",
    "catalog": {"use": "toy"},
    "stack": [{"use": "toy"}],
    "attack": {"use": "toy", "objective": {"use": "toy"}},
    "threat": {"access": "scores", "field": "Description", "budget": {"steps": 2}},
    "targets": {"items": ["pico", "grand"]},
    "hold_out": "orders",
    "optimise": {"requests": ["office"], "orders": 2},
    "validate": {"requests": ["office"], "orders": 1},
    "evaluate": {"requests": ["office"], "orders": 12},
    "seeds": [0, 1],
}
Ask = Callable[..., Result]
STAGES = "stack:\n- {use: toy, name: before}\n- use: toy\n  name: toy\n  from: [before]"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("texts") / "run"
    assert run(from_mapping(DATA, registry=toy_registry()), where).failed == ()
    return where


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.import_module("testbed.scenario.load"), "installed", toy_registry)
    return lambda *arguments: CliRunner().invoke(main, ["registry", *map(str, arguments)])


def test_texts_are_frozen_with_all_that_measuring_them_again_takes(ask: Ask, source: Path) -> None:
    result = ask("add", source, "--to", "kept", "--all", "--json")
    assert result.exit_code == 0, result.output
    entries = read_folder(Path("kept"))
    assert [entry.id for entry in entries] == json.loads(result.stdout)["added"]
    assert [(entry.target, entry.seed) for entry in entries] == [
        (target, seed) for target in ("pico", "grand") for seed in (0, 1)
    ]
    one = entries[0]
    assert one.text
    assert (one.field, one.place, one.effect.measure, one.effect.n) == ("Description", "append", "lift@1", 12)
    assert one.provenance["attack"]["use"] == "toy"
    assert one.provenance["stack"][0]["use"] == "toy"
    assert one.provenance["versions"]["python"]
    assert one.provenance["catalog"]["fingerprint"]
    assert Path(f"kept/scenarios/{one.scenario}.yaml").is_file()


def test_adding_again_changes_nothing(ask: Ask, source: Path) -> None:
    ask("add", source, "--to", "kept", "--all")
    before = {file.name: file.read_bytes() for file in Path("kept").glob("*.jsonl")}
    ask("add", source, "--to", "kept", "--all")
    assert {file.name: file.read_bytes() for file in Path("kept").glob("*.jsonl")} == before
    assert len(before) == 1


def test_texts_whose_effect_is_not_shown_are_left_out(ask: Ask, source: Path) -> None:
    added, left = add(source, Path("kept"))
    assert all(entry.effect.low is not None and entry.effect.low > 0 for entry in added)
    assert len(added) + len(left) == 4
    assert 0 < len(added) < 4, "the toy's texts should differ, or this test says nothing"
    assert [entry.id for entry in read_folder(Path("kept"))] == [entry.id for entry in added]


def test_an_unchanged_world_gives_the_same_effects_from_the_same_rankings(ask: Ask, source: Path) -> None:
    ask("add", source, "--to", "kept", "--all")
    result = ask("verify", "kept", "--json")
    assert result.exit_code == 0, result.output
    texts = json.loads(result.stdout)["texts"]
    assert [one["now"] for one in texts] == [one["before"] for one in texts]
    assert {one["answer"] for one in texts} == {"still works", "still does not work"}
    assert [one["notes"] for one in texts] == [[]] * 4
    again = [one for file in Path("runs/registry").glob("*/trials.jsonl") for one in read_records(file)]
    made = {one.key: one for one in again if isinstance(one, EvaluationRecord)}
    first = {
        one.key: one for one in read_records(source / "trials.jsonl") if isinstance(one, EvaluationRecord)
    }
    assert made
    assert all(first[key].ranking == one.ranking for key, one in made.items())


def test_a_defended_stack_changes_the_answer_and_the_exit_code(ask: Ask, source: Path) -> None:
    ask("add", source, "--to", "kept")
    result = ask("verify", "kept", "--set", "stack=[{use: bm25}]")
    assert result.exit_code == 3, result.output
    assert "no longer works: now lift@1" in result.stdout
    assert "the models have changed" not in result.stdout


def test_what_works_again_is_a_change_too(ask: Ask, source: Path) -> None:
    (entry, *_), _ = add(source, Path("kept"))
    (file,) = Path("kept").glob("*.jsonl")
    data = json.loads(entry.to_line())
    data["effect"] = {"measure": "lift@1", "estimate": 0.0, "low": -0.1, "high": 0.1, "n": 24}
    file.write_text(json.dumps(data) + "\n")
    result = ask("verify", "kept")
    assert result.exit_code == 3
    assert "works again" in result.stdout


def test_one_that_cannot_be_measured_does_not_hide_the_others(ask: Ask, source: Path) -> None:
    added, _ = add(source, Path("kept"), everything=True)
    lost = added[0]
    (file,) = Path("kept").glob("*.jsonl")
    lines = [json.loads(entry.to_line()) for entry in added]
    lines[0] |= elsewhere(lost)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = verify(Path("kept"), read_folder(Path("kept")), Path("out"), registry=toy_registry())
    assert [one.answer == "error" for one in found] == [True, False, False, False]
    assert "cannot be read" in found[0].notes[0]
    assert ask("verify", "kept", "--id", lines[0]["id"]).exit_code == 1


def elsewhere(entry: Entry) -> dict[str, str]:
    """What stands on the line of a text that was frozen with another scenario."""
    scenario = "0123456789ab"
    return {"scenario": scenario, "id": Entry.id_of(scenario, entry.target, entry.seed, entry.text, ())}


def test_an_edited_text_is_no_text_that_stopped_working(ask: Ask, source: Path) -> None:
    added, _ = add(source, Path("kept"), everything=True)
    (file,) = Path("kept").glob("*.jsonl")
    lines = [json.loads(entry.to_line()) for entry in added]
    lines[0]["text"] = "nothing"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = ask("verify", "kept")
    assert result.exit_code == 2, result.output
    told = f"{added[0].id}  pico, seed 0: error: its id does not match its text: edited after it was frozen\n"
    assert told in result.stdout
    assert result.stdout.count(": error:") == 1
    assert result.stdout.endswith("0 of 4 texts changed\n")


def test_registries_with_other_texts_of_one_scenario_do_not_meet(ask: Ask, source: Path) -> None:
    added, _ = add(source, Path("kept"), everything=True)
    other = dataclasses.replace(added[0], text="x")
    other = dataclasses.replace(other, id=Entry.id_of(other.scenario, other.target, other.seed, "x", ()))
    shutil.copytree("kept", "others")
    (file,) = Path("others").glob("*.jsonl")
    file.write_text("".join(entry.to_line() + "\n" for entry in (other, *added[1:])))
    for folder in ("kept", "others", "kept"):
        found = json.loads(ask("verify", folder, "--json").stdout)["texts"]
        assert "error" not in {one["answer"] for one in found}, folder
    assert len(list(Path("runs/registry").iterdir())) == 3, "seed 0 of each, and seed 1 that both have"


def test_a_setting_that_is_wrong_everywhere_is_one_fault_of_usage(ask: Ask, source: Path) -> None:
    add(source, Path("kept"), everything=True)
    result = ask("verify", "kept", "--set", "stack.0.use=toi")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "--set stack.0.use=toi: stack.0.use: unknown stage 'toi'; did you mean 'toy'?\n"
    assert not Path("runs").exists()


def test_a_setting_that_is_wrong_somewhere_is_an_error_of_those_texts(ask: Ask, source: Path) -> None:
    added, _ = add(source, Path("kept"), everything=True)
    seeded = {entry.seed: entry.scenario for entry in added}
    file = Path("kept/scenarios", f"{seeded[0]}.yaml")
    longer = file.read_text().replace("stack:\n- use: toy\n  name: toy\n  from: [source]", STAGES)
    Path("kept/scenarios/0123456789ab.yaml").write_text(longer)
    (lines,) = Path("kept").glob("*.jsonl")
    told = [json.loads(entry.to_line()) for entry in added[:2]]
    told[1] |= elsewhere(added[1])
    lines.write_text("".join(json.dumps(line) + "\n" for line in told))
    found = verify(
        Path("kept"),
        read_folder(Path("kept")),
        Path("out"),
        overrides=["stack.1.k=3"],
        registry=toy_registry(),
    )
    assert [one.answer == "error" for one in found] == [True, False]
    assert found[0].notes[0].startswith("--set stack.1.k=3: stack.1.k: no such entry")


def test_one_text_by_its_id(ask: Ask, source: Path) -> None:
    added, _ = add(source, Path("kept"), everything=True)
    result = ask("verify", "kept", "--id", added[1].id, "--json")
    assert [one["id"] for one in json.loads(result.stdout)["texts"]] == [added[1].id]
    wrong = ask("verify", "kept", "--id", "abc")
    assert (wrong.exit_code, "no text 'abc'" in wrong.stderr) == (2, True)


def test_faults_are_told_with_their_place(ask: Ask, source: Path) -> None:
    assert "no such registry folder" in ask("verify", "nowhere").stderr
    Path("kept").mkdir()
    Path("kept/bad.jsonl").write_text("{}\n")
    result = ask("verify", "kept")
    assert (result.exit_code, "bad.jsonl:1: not an entry" in result.stderr) == (2, True)
    assert ask("add", "kept", "--to", "kept").exit_code == 2
    with pytest.raises(UserError, match="texts are kept with a lift"):
        add(source, Path("other"), measure="nDCG@10")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("file", "file: cannot be a registry folder: it is a file"),
        ("file/kept", "file/kept: cannot be a registry folder: Not a directory"),
        ("/proc/nope", "/proc/nope: cannot be a registry folder: No such file or directory"),
    ],
)
def test_what_cannot_be_a_registry_is_one_message(ask: Ask, source: Path, where: str, message: str) -> None:
    Path("file").write_text("mine")
    result = ask("add", source, "--to", where, "--all")
    assert (result.exit_code, result.stderr) == (2, f"{message}\n")
    assert Path("file").read_text() == "mine"


def test_an_effect_works_when_its_interval_is_above_zero() -> None:
    assert Effect("lift@1", 0.2, 0.01, 0.4, 24).works
    assert not Effect("lift@1", 0.2, -0.01, 0.4, 24).works
    assert not Effect("lift@1", 0.2, None, None, 1).works


def test_an_id_follows_from_what_is_measured() -> None:
    assert Entry.id_of("aa", "pico", 0, "text", ()) == Entry.id_of("aa", "pico", 0, "text", ())
    assert Entry.id_of("aa", "pico", 0, "text", ()) != Entry.id_of("aa", "pico", 1, "text", ())

"""The command line, as far as it needs no model."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from made_up_run import manifest, records
from plugin_folders import announce, python

from testbed.cli import COMMANDS, main
from testbed.commands.options import FilePath
from testbed.records import Record, to_line

SCENARIOS = Path(__file__).parents[2] / "scenarios"
QUICK = str(SCENARIOS / "quick.yaml")
HEAVY = ("torch", "transformers", "numpy")
IMPORTS = f"import sys, testbed.cli; print([name for name in {HEAVY} if name in sys.modules])"
BAD = (
    "version: 1\nname: bad\ncatalog: {use: cofee_machines}\nstack:\n"
    "  - {use: llm, temprature: 1}\n  - {use: llm, name: again, model: no}\n"
)

Ask = Callable[..., Result]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Call `testbed` with arguments, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def parsed(result: Result) -> Any:
    """The JSON that a command printed, and nothing else."""
    return json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def write_run(name: str, made: list[Record], item: str = "a", **more: Any) -> None:
    """A run directory in the current folder; `item` is what its item `a` is called."""
    Path(name).mkdir()
    lines, about = "".join(to_line(one) + "\n" for one in made), json.dumps(manifest(**more))
    Path(name, "trials.jsonl").write_text(lines.replace('"a"', json.dumps(item)))
    Path(name, "manifest.json").write_text(about.replace('"a"', json.dumps(item)))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_line_and_its_help(ask: Ask, command: str) -> None:
    assert f"  {command} " in ask("--help").stdout
    result = ask(command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: main {command} ")


def test_the_version_is_the_distributions(ask: Ask) -> None:
    from importlib.metadata import version

    assert ask("--version").stdout == f"testbed, version {version('ranking-testbed')}\n"


def parameters(command: click.Command) -> Iterator[click.Parameter]:
    """Parameters of a command and of those below it."""
    yield from command.params
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        yield from parameters(below)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_takes_an_empty_path_for_the_working_folder(name: str) -> None:
    command = importlib.import_module(f"testbed.commands.{name}").command
    for one in parameters(command):
        assert not isinstance(one.type, click.Path) or isinstance(one.type, FilePath), one.name


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", QUICK, "--out", ""),
        ("run", QUICK, "--out", " ", "--dry-run"),
        ("show", ""),
        ("registry", "add", "", "--to", "kept"),
        ("audit", "--catalog", "coffee_machines", "--detect", "schema", "--sarif", ""),
    ],
)
def test_an_empty_path_is_refused(ask: Ask, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = ask(*arguments)
    assert result.exit_code == 2
    assert result.stderr.endswith("the path is empty (is a variable not set?)\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_says_how_it_goes_on(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), how)
        time.sleep(5)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("testbed.api.run", stopped)
    heard = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # ignored where tests run in the background
    try:
        result = ask("run", QUICK, "--out", "mine")
    finally:
        signal.signal(signal.SIGINT, heard)
    assert (result.exit_code, result.stderr) == (130, "interrupted; the same command goes on from mine\n")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_mistyped_command_is_answered_with_the_nearest_one(ask: Ask) -> None:
    result = ask("rnu")
    assert result.exit_code == 2
    assert "no command 'rnu'; did you mean 'run'?" in result.stderr


def test_list_names_all_kinds_with_a_line_each(ask: Ask) -> None:
    result = ask("list")
    assert result.exit_code == 0
    for line in (
        *("stages", "attacks", "objectives", "catalogs", "measures"),
        "  coffee_machines  Ten coffee makers from $29 to $1,899: the fixed small benchmark.",
    ):
        assert line in result.stdout.splitlines()


@pytest.mark.parametrize("kind", ["stages", "attacks", "objectives", "catalogs", "measures"])
def test_list_as_json(ask: Ask, kind: str) -> None:
    found = parsed(ask("list", kind, "--json"))
    assert set(found) == {"schema", kind}
    assert found["schema"] == 1
    wanted = {"name", "summary"} if kind == "measures" else {"name", "summary", "distribution"}
    assert all(set(entry) == wanted and entry["summary"] for entry in found[kind])


def test_list_says_what_each_measure_is(ask: Ask) -> None:
    found = {
        entry["name"]: entry["summary"] for entry in parsed(ask("list", "measures", "--json"))["measures"]
    }
    assert found["lift@3"] == "How much more often the target is among the first 3: top@3 after - before."
    assert found["harm"].startswith("How much worse the others are ranked: their nDCG@10 before - after")
    assert len(set(found.values())) == len(found)
    assert not [text for text in found.values() if "{" in text or "None" in text or "ir-measures" in text]


def test_list_refuses_other_kinds(ask: Ask) -> None:
    result = ask("list", "attack")
    assert result.exit_code == 2
    assert "'attack' is not one of 'stages', 'attacks'" in result.stderr


def test_show_a_plugin(ask: Ask) -> None:
    for name in ("gcg", "attacks/gcg"):
        result = ask("show", name)
        assert result.exit_code == 0
        assert result.stdout.startswith("attacks/gcg\nSwap the tokens that the gradient points at")
        assert "  tokens (default 20)\n      Length of the text in the victim's tokens.\n" in result.stdout


def test_show_a_plugin_as_json(ask: Ask) -> None:
    found = parsed(ask("show", "fields", "--json"))
    assert (found["schema"], found["kind"], found["name"]) == (1, "catalogs", "fields")
    assert found["options"][0] == {"name": "path", "default": None, "required": True, "about": "The file."}


def test_every_option_of_every_plugin_has_its_line(ask: Ask) -> None:
    listed = parsed(ask("list", "--json"))
    for kind in ("stages", "attacks", "objectives", "catalogs"):
        for entry in listed[kind]:
            options = parsed(ask("show", f"{kind}/{entry['name']}", "--json"))["options"]
            assert [option["name"] for option in options if not option["about"]] == [], entry["name"]


def test_every_line_of_an_options_help_is_indented(ask: Ask) -> None:
    result = ask("show", "gcg")
    about = result.stdout.split("  screening (default 'frozen_tail')\n")[1].split("\n\n")[0].splitlines()
    assert len(about) > 1
    assert all(line.startswith("      ") for line in about)


@pytest.mark.parametrize("what", ["lift@1", "measures/lift@1"])
def test_show_a_measure(ask: Ask, what: str) -> None:
    line = "How much more often the target is among the first 1: top@1 after - before."
    assert ask("show", what).stdout == f"measures/lift@1\n{line}\nsection: effect\n"
    assert parsed(ask("show", what, "--json")) == {
        **{"schema": 1, "kind": "measures", "name": "lift@1"},
        **{"section": "effect", "summary": line},
    }


def test_show_a_mistyped_measure(ask: Ask) -> None:
    assert "did you mean 'lift@1'?" in ask("show", "lfit@1").stderr
    assert ask("show", "measures/lfit@1").stderr == "unknown measure 'lfit@1'; did you mean 'lift@1'?\n"
    assert ask("show", "measures/gcg").exit_code == 2


def test_show_says_first_that_a_run_is_not_finished(ask: Ask) -> None:
    splits = {
        name: [[request, order, 0] for request in ("r0", "r1") for order in range(10)]
        for name in ("optimise", "validate", "test")
    }
    whole = records()  # 2 targets x 20 situations x (3 validation and 6 test arms and seeds), after 4 attacks
    write_run("part", whole[:104], state="interrupted", splits=splits)
    write_run("whole", whole, splits=splits)
    write_run("bare", whole, state="running")
    first = ask("show", "part").stdout.splitlines()[0]
    assert first == "unfinished: 100 of 360 rankings so far (interrupted)"
    assert ask("show", "bare").stdout.startswith("unfinished (running)\n")
    assert "unfinished" not in ask("show", "whole").stdout
    assert parsed(ask("show", "part", "--json"))["schema"] == 1


def test_show_lets_no_name_write_to_the_terminal(ask: Ask) -> None:
    write_run("evil", records(), "a\x1b[31m")
    result = ask("show", "evil", "--all")
    assert result.exit_code == 0, result.stderr
    assert "\x1b" not in result.stdout
    assert "a\\x1b[31m" in result.stdout


def test_show_what_there_is_not(ask: Ask) -> None:
    result = ask("show", "gcgg")
    assert result.exit_code == 2
    assert (
        result.stderr
        == "'gcgg' is no run directory, scenario file, plug-in or measure; did you mean 'gcg'?\n"
    )


def test_show_a_scenario(ask: Ask) -> None:
    found = parsed(ask("show", QUICK, "--json"))
    assert (found["schema"], found["scenario"]["name"], len(found["hash"])) == (1, "quick", 12)
    result = ask("show", QUICK)
    assert result.stdout.startswith("version: 1\nname: quick\n")
    assert f"# rankings: {found['cost']['rankings']}\n" in result.stdout


def test_show_a_folder_that_is_no_run(ask: Ask, tmp_path: Path) -> None:
    result = ask("show", tmp_path)
    assert result.exit_code == 2
    assert str(tmp_path) in result.stderr


def test_check_a_good_scenario(ask: Ask) -> None:
    result = ask("check", QUICK)
    assert result.exit_code == 0
    assert re.fullmatch(rf"{re.escape(QUICK)}: fine \(quick, [0-9a-f]{{12}}; 10 items\)\n", result.stdout)
    found = parsed(ask("check", QUICK, "--json"))
    assert found == {"schema": 1, "ok": True, "name": "quick", "hash": found["hash"], "faults": []}


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ("{use: llm, field_limit: 40}", True),
        ("{use: schema, over: {use: vote, over: {use: llm, field_limit: 40}}}", True),
        ("{use: summarise, over: {use: llm, field_limit: 40}}", False),
        ("{use: llm, field_limit: null}", False),
        ("{use: llm}", False),
    ],
)
def test_text_that_a_stage_cuts_off_is_told(ask: Ask, stage: str, told: bool) -> None:
    result = ask("check", QUICK, "--set", f"stack=[{stage}]")
    assert result.exit_code == 0
    assert ("reads 40 characters of a field" in result.stderr) is told
    prepended = ask("check", QUICK, "--set", f"stack=[{stage}]", "--set", "threat.place=prepend")
    assert prepended.stderr == ""


def test_warnings_are_one_line_without_a_place_in_the_code(ask: Ask) -> None:
    settings = (
        "stack=[{use: schema, own: false, fpr: 0.001, over: {use: bm25}}]",
        "attack={use: fixed_text, text: best}",
        "threat.access=none",
        "evaluate.requests=1",
        "evaluate.orders=1",
    )
    changed = [word for one in settings for word in ("--set", one)]
    done = subprocess.run(
        [sys.executable, "-m", "testbed.cli", "run", QUICK, *changed, "--threads", "1"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (line,) = [one for one in done.stderr.splitlines() if "honest listings are too few" in one]
    assert line.startswith("warning: Schema: ")


def test_check_says_all_faults_with_their_places(ask: Ask, tmp_path: Path) -> None:
    Path("bad.yaml").write_text(BAD)
    result = ask("check", "bad.yaml")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "bad.yaml:3:16: catalog.use: unknown catalog 'cofee_machines'; did you mean 'coffee_machines'?",
        "bad.yaml:5:16: stack.0.temprature: unknown key 'temprature'; did you mean 'temperature'?",
        'bad.yaml:6:36: stack.1.model: no reads as false in YAML 1.1: write "no" for the text or false',
    ]


def test_check_says_the_same_as_json(ask: Ask) -> None:
    Path("bad.yaml").write_text(BAD)
    result = ask("check", "bad.yaml", "--json")
    assert result.exit_code == 2
    found = parsed(result)
    assert found["ok"] is False
    assert [(fault["line"], fault["column"], fault["path"]) for fault in found["faults"]] == [
        (3, 16, "catalog.use"),
        (5, 16, "stack.0.temprature"),
        (6, 36, "stack.1.model"),
    ]
    assert set(found["faults"][0]) == {"message", "path", "file", "line", "column", "hint"}


def test_check_gives_other_faults_as_json_too(ask: Ask) -> None:
    Path("items.jsonl").write_text("{\n")
    missing = ask("check", "nowhere.yaml", "--json")
    catalog = ask("check", QUICK, "--json", "--set", "catalog={use: fields, path: items.jsonl}")
    for result, word in ((missing, "no such scenario file: nowhere.yaml"), (catalog, "items.jsonl:1")):
        assert result.exit_code == 2
        found = parsed(result)
        assert (found["schema"], found["ok"]) == (1, False)
        assert word in found["faults"][0]["message"]


def test_check_finds_what_the_catalog_does_not_have(ask: Ask) -> None:
    result = ask("check", QUICK, "--set", "targets.items=[aurelia-grande]")
    assert result.exit_code == 2
    assert "did you mean 'aurelia-grand'?" in result.stderr


def test_a_scenario_file_that_is_not_there(ask: Ask) -> None:
    Path("mine.yaml").write_text("version: 1\n")
    result = ask("run", "mnie.yaml")
    assert result.exit_code == 2
    assert result.stderr == "no such scenario file: mnie.yaml; did you mean mine.yaml?\n"


def test_a_dry_run_counts_and_runs_nothing(ask: Ask, tmp_path: Path) -> None:
    found = parsed(ask("run", QUICK, "--dry-run", "--json"))
    assert found["rankings"] == 16  # 1 request in 4 orders under 4 arms
    result = ask("run", QUICK, "--dry-run", "--limit", 2)
    assert result.exit_code == 0
    assert re.search(r"^ +rankings  8$", result.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


def test_options_change_the_scenario_of_a_dry_run(ask: Ask) -> None:
    once = parsed(ask("run", QUICK, "--dry-run", "--json", "--set", "evaluate.orders=8"))
    assert once["rankings"] == 32
    twice = parsed(ask("run", QUICK, "--dry-run", "--json", "--seed", 0, "--seed", 1))
    assert twice["attack_trials"] == 2


def test_a_gate_that_cannot_be_read_stops_before_anything_runs(ask: Ask, tmp_path: Path) -> None:
    for gate in ("lfit@1 > 0", "attack-randm:lift@1 > 0.5", "lift@1[larkspur] > 0"):
        result = ask("run", QUICK, "--fail-if", gate)
        assert result.exit_code == 2
        assert f"gate {gate!r}" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["report", "compare"])
def test_commands_on_runs_refuse_other_folders(ask: Ask, tmp_path: Path, command: str) -> None:
    result = ask(command, *([tmp_path] * (2 if command == "compare" else 1)))
    assert result.exit_code == 2
    assert str(tmp_path) in result.stderr


def test_compare_shows_levels_apart_from_effects(ask: Ask) -> None:
    write_run("a", records(), measures=["top@1", "lift@1"])
    write_run("b", records(rng_seed=1))
    result = ask("compare", "a", "b")
    assert result.exit_code == 0, result.stderr
    levels, effects = result.stdout.split("\neffects: an arm against another\n")
    assert "levels: the value under an arm\n" in levels
    assert "identical" not in levels
    shown = [line.split() for line in levels.splitlines()[3:] if line]
    assert {tuple(line[0:2]) for line in shown} == {("b", "top@1")}
    assert {line[4] for line in shown} == {"-"}
    head, *lines = effects.splitlines()
    assert head.split() == ["run", "measure", "target", "arm", "against", "base", "run", "diff", "interval"]
    assert ["b", "lift@1", "all", "attack", "clean"] in [line.split()[:5] for line in lines]
    assert ["b", "lift@1", "all", "attack", "random_tokens"] in [line.split()[:5] for line in lines]


def test_compare_says_that_rankings_are_identical(ask: Ask) -> None:
    for name in ("a", "b"):
        write_run(name, records())
    write_run("c", records(rng_seed=1))
    lines = ask("compare", "a", "b", "c").stdout.splitlines()
    assert [line for line in lines if "identical" in line] == [
        "run b: identical rankings to a in all 240 test rankings that both have"
    ]


def test_compare_lets_no_name_write_to_the_terminal(ask: Ask) -> None:
    for name in ("a", "b\x1b[0m"):
        write_run(name, records(), "a\x1b[31m")
    result = ask("compare", "a", "b\x1b[0m")
    assert result.exit_code == 0, result.stderr
    assert "\x1b" not in result.stdout
    assert "run b\\x1b[0m: identical" in result.stdout
    assert "a\\x1b[31m" in result.stdout


def test_compare_names_the_folder_that_is_missing(ask: Ask) -> None:
    write_run("a", records())
    result = ask("compare", "a", "nowhere")
    assert result.exit_code == 2
    assert result.stderr.startswith("nowhere: not a run directory")


def test_models_are_listed(ask: Ask) -> None:
    found = parsed(ask("models", "list", "--json"))
    assert found["schema"] == 1
    assert {"smollm2-135m", "minilm"} <= {model["name"] for model in found["models"]}
    assert all(set(model) == {"name", "kind", "state", "path", "licence"} for model in found["models"])
    result = ask("models", "path", "smolm2-135m")
    assert result.exit_code == 2
    assert "did you mean 'smollm2-135m'?" in result.stderr


def test_a_new_scenario_is_a_right_one(ask: Ask, tmp_path: Path) -> None:
    result = ask("new", "scenario", "deep/mine")
    assert (result.exit_code, result.stdout) == (0, "deep/mine.yaml: try  testbed check deep/mine.yaml\n")
    assert "deep/mine.yaml: fine (mine, " in ask("check", "deep/mine.yaml").stdout
    again = ask("new", "scenario", "deep/mine")
    assert (again.exit_code, again.stderr) == (2, "deep/mine.yaml: exists already; choose another name\n")


@pytest.mark.parametrize(("kind", "name"), [("attack", "my_words"), ("stage", "my-cut")])
def test_a_new_plugin_can_be_shown_and_passes_its_own_test(ask: Ask, kind: str, name: str) -> None:
    result = ask("new", kind, name)
    assert result.exit_code == 0, result.stderr
    folder, module = Path(name).resolve(), name.replace("-", "_")
    assert result.stdout == f"{name}: try  pip install -e {name}  and then  testbed show {module}\n"
    announce(folder)
    done = python(folder, "-m", "testbed.cli", "show", module)
    assert done.stdout.startswith(f"{kind}s/{module}\n"), done.stderr
    done = python(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"test_{module}.py")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["3words", "Words", "class"])
def test_a_new_plugin_needs_the_name_of_a_module(ask: Ask, name: str, tmp_path: Path) -> None:
    result = ask("new", "attack", name)
    assert result.exit_code == 2
    assert result.stderr == f"{name!r} cannot be a module name; use lower-case letters, digits and '_'\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("attack", "attacks", "'attacks' is a package of the testbed itself; choose another name"),
        ("stage", "testbed", "'testbed' is a package of the testbed itself; choose another name"),
        ("stage", "json", "'json' is a module of Python's standard library; choose another name"),
        ("attack", "gcg", "the attack 'gcg' exists already, in ranking-testbed; choose another name"),
        ("stage", "llm", "the stage 'llm' exists already, in ranking-testbed; choose another name"),
    ],
)
def test_a_new_plugin_takes_nobodys_name(
    ask: Ask, kind: str, name: str, message: str, tmp_path: Path
) -> None:
    result = ask("new", kind, name)
    assert (result.exit_code, result.stderr) == (2, f"{message}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_path_with_a_blank_can_be_tried_as_it_is_printed(ask: Ask) -> None:
    assert ask("new", "scenario", "my own").stdout.endswith("try  testbed check 'my own.yaml'\n")
    assert "try  pip install -e 'a b/words'  and" in ask("new", "attack", "a b/words").stdout


def test_help_is_there_at_once() -> None:
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "testbed.cli", "--help"], check=True, capture_output=True)
        return time.perf_counter() - start

    assert statistics.median(seconds() for _ in range(3)) < 1.0  # 0.07 on a quiet machine; 0.3 is the promise


def test_the_command_line_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_check_for_heavy_imports_can_fail() -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import numpy; {IMPORTS}"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "['numpy']\n"

"""Cubes: from a file to cells, their runs, tables and report."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from testbed.catalog import Catalog
from testbed.cli import main
from testbed.cube import load_cube, run_cube
from testbed.cube.report import render
from testbed.cube.text import lines_of
from testbed.environment import Environment
from testbed.errors import ScenarioError, UserError
from testbed.on_processes import _opened as open_processes
from testbed.protocols import StagePlugin, Step, Victim
from testbed.registry import Registry
from testbed.runner import run
from testbed.scenario import load
from testbed.testing import toy_registry
from testbed.testing.toy import ToyStage
from testbed.testing.toy_world import ToyAttack
from testbed.types import Slate, Target

BASE = """\
version: 1
name: toy-cube
catalog: {use: toy}
stack: [{use: toy, name: last}]
attack: {use: toy, objective: {use: toy}}
threat: {access: scores, field: Description, budget: {steps: 9}}
targets: {items: [pico, grand]}
hold_out: orders
optimise: {requests: [office], orders: 1}
validate: {requests: [office], orders: 1}
evaluate: {requests: [office, camp], orders: 2, arms: [clean, attack, random_tokens]}
seeds: [0]
cube:
  attack:
    vowels: {}
    zeds: {attack.letters: z}
  stack:
    whole: {}
    five: {stack.0.k: 5}
  defence:
    none: {}
    reversed: {around: {use: reversed}}
  budget: {steps: [2, 0]}
  leave_out:
    - {attack: zeds, defence: reversed}
    - {attack: zeds, stack: five}
    - {stack: five, defence: reversed}
    - {stack: five, budget: "0"}
    - {attack: zeds, budget: "0"}
  transfer: [defence]
"""
Ask = Callable[..., Result]
LIFT3 = ("lift@3", "attack", "clean")


class Reversed(StagePlugin):
    """The ranking of a stage, read from its end: what is pushed up goes down."""

    over: StagePlugin

    def build(self, catalog: Catalog, env: Environment) -> Backwards:
        stage = self.over.build(catalog, env)
        assert isinstance(stage, ToyStage)
        return Backwards(stage)


class Backwards:
    def __init__(self, stage: ToyStage) -> None:
        self.stage = stage
        self.losses = stage.losses

    def __call__(self, context: Any, *inputs: Slate) -> Slate:
        slate = self.stage(context, *inputs)
        return Slate(tuple(reversed(slate.listings)), shown=slate.shown)


def registry() -> Registry:
    return toy_registry().extended(stages={"reversed": Reversed})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cube.yaml"
    path.write_text(BASE)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cube")
    (folder / "cube.yaml").write_text(BASE)
    cube = load_cube(folder / "cube.yaml", registry=registry())
    assert run_cube(cube, folder / "out", text=BASE).failed == ()
    return folder / "out"


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.import_module("testbed.scenario.load"), "installed", registry)
    monkeypatch.setattr(importlib.import_module("testbed.cube.load"), "installed", registry)
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_every_combination_is_a_scenario_but_those_left_out(file: Path) -> None:
    cube = load_cube(file, registry=registry())
    assert cube.axes == {
        "attack": ("vowels", "zeds"),
        "stack": ("whole", "five"),
        "defence": ("none", "reversed"),
        "budget": ("0", "2"),
    }
    assert len(cube.cells) == 6
    assert len({cell.scenario.hash for cell in cube.cells}) == len(cube.cells)
    last = cube.cells[-1]
    assert last.scenario.name == "toy-cube-zeds-whole-none-2"
    assert last.scenario.attack is not None
    assert last.scenario.attack.options["letters"] == "z"
    assert last.scenario.threat is not None
    assert last.scenario.threat.budget.steps == 2


def test_a_defence_stands_around_or_before_the_last_stage(file: Path) -> None:
    file.write_text(BASE.replace("around: {use: reversed}", "before: {use: toy, name: first, k: 5}"))
    before = load_cube(file, registry=registry()).cells[2].scenario
    assert [(stage.name, stage.inputs) for stage in before.stack] == [
        ("first", ("source",)),
        ("last", ("first",)),
    ]
    file.write_text(BASE)
    around = load_cube(file, registry=registry()).cells[2].scenario
    (stage,) = around.stack
    assert (stage.name, stage.use, stage.options["over"]) == (
        "last",
        "reversed",
        {"use": "toy", "k": None, "noise": 0.0},
    )


def test_texts_travel_to_the_other_levels_of_an_axis(file: Path) -> None:
    first, *_ = load_cube(file, registry=registry()).cells
    assert {name: stack[0].use for name, stack in first.scenario.victims.items()} == {"reversed": "reversed"}


def test_a_cell_is_what_the_same_scenario_written_out_is(file: Path, tmp_path: Path) -> None:
    file.write_text(BASE.replace("  transfer: [defence]\n", ""))
    cell = load_cube(file, registry=registry()).cells[0]
    plain = tmp_path / "plain.yaml"
    plain.write_text(BASE.split("cube:\n")[0])
    same = load(plain, ["name=toy-cube-vowels-whole-none-0", "threat.budget.steps=0"], registry=registry())
    assert cell.scenario.hash == same.hash


def test_settings_change_every_cell(file: Path) -> None:
    cube = load_cube(file, ["seeds=[3]", "evaluate.orders=1"], registry=registry())
    assert {(cell.scenario.seeds, cell.scenario.evaluate.orders) for cell in cube.cells} == {((3,), 1)}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("attack.letters: z", "attack.leters: z", "attack.leters: unknown key 'leters'; did you mean 'letters'?"),
        ("{use: toy, name: last}", "{use: toi, name: last}", ":4:15: stack.0.use: unknown stage 'toi'"),
        ("{stack.0.k: 5}", "{stack.4.k: 5}", "cube.stack.five.stack.4.k: no such entry: the list has 1"),
        ("reversed: {around: {use: reversed}}", "reversed: {around: 3}", "expected a stage, {use: ...}"),
        ("defence:\n", "defense:\n", "cube.defense: unknown key 'defense'; did you mean 'defence'?"),
        ("{steps: [2, 0]}", "{step: [2, 0]}", "expected one unit with its amounts"),
        ("{steps: [2, 0]}", "{steps: [2, 0, 2]}", "cube.budget.steps.2: 2 is there already; name every amount once"),
        ("{attack: zeds, stack", "{attack: zed, stack", "has no level 'zed'; did you mean 'zeds'?"),
        ("transfer: [defence]", "transfer: [budget]", "not 'budget'"),
        ("five:", "Five_:", "the name 'Five_' needs lower-case letters"),
    ],
)  # fmt: skip
def test_faults_point_to_the_level_that_caused_them(file: Path, old: str, new: str, message: str) -> None:
    assert old in BASE
    file.write_text(BASE.replace(old, new))
    with pytest.raises(ScenarioError) as caught:
        load_cube(file, registry=registry())
    assert message in str(caught.value)


def test_cells_run_into_directories_of_their_own_and_go_on_where_they_stopped(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("testbed.cube.running.derive_cube", lambda path: {})
    about = json.loads((finished / "cube.json").read_text())
    assert len(about["cells"]) == 6
    first = finished / about["cells"][0]["run"]
    whole = (first / "trials.jsonl").read_bytes()
    (first / "trials.jsonl").write_bytes(whole[:-40])
    again = load_cube(finished.parent / "cube.yaml", registry=registry())
    run_cube(again, finished, text=BASE)
    assert (first / "trials.jsonl").read_bytes() == whole


def test_another_cube_is_refused(finished: Path, file: Path) -> None:
    other = load_cube(file, ["seeds=[4]"], registry=registry())
    with pytest.raises(UserError, match="holds another cube"):
        run_cube(other, finished)


def lifts(tables: dict[str, Any]) -> list[dict[str, Any]]:
    """The main effect of every cell."""
    wanted = ("lift@1", "attack", "clean")
    return [row for row in tables["effects"] if (row["measure"], row["arm"], row["against"]) == wanted]


def test_a_file_cannot_be_its_directory(file: Path) -> None:
    with pytest.raises(UserError, match=r"cube\.yaml: cannot be a run directory: File exists"):
        run_cube(load_cube(file, registry=registry()), file)


def test_tables_put_the_cells_side_by_side(finished: Path) -> None:
    tables = json.loads((finished / "tables.json").read_text())
    main = lifts(tables)
    assert len(main) == 6
    assert all(row["p_holm"] is None or row["p_holm"] >= row["p"] for row in main)
    by_place = {tuple(row["place"].values()): row for row in main}
    assert by_place["vowels", "whole", "none", "0"]["estimate"] == 0, "no step, no text, no effect"
    assert by_place["vowels", "whole", "none", "2"]["estimate"] > 0
    curves = {tuple(one["place"].values()): one["points"] for one in tables["curves"]}
    assert [point["budget"] for point in curves["vowels", "whole", "none"]] == [0, 2]
    took = [row for row in tables["defences"] if row["measure"] == "lift@1" and row["place"]["budget"] == "2"]
    assert {row["place"]["stack"] for row in took} == {"whole"}
    assert all(
        row["estimate"] == pytest.approx(row["run_value"] - row["base_value"], abs=1e-5) for row in took
    )
    assert {row["measure"] for row in tables["defences"]} == {"lift@1", "nDCG@10"}
    travelled = {row["victim"] for row in tables["transfer"]}
    assert travelled == {"stack", "reversed", "none"}
    assert {one["attack"] for one in tables["time_to_first"]} == {"vowels", "zeds"}
    assert [(one["stack"], one["defence"]) for one in tables["quality"]] == [
        ("whole", "none"),
        ("whole", "reversed"),
        ("five", "none"),
    ]
    harm = [row for row in tables["effects"] if row["measure"] == "harm" and row["place"]["budget"] == "0"]
    assert {(row["estimate"], row["low"], row["method"]) for row in harm} == {(0, None, "constant")}
    assert "0.000 in every pair" in (finished / "report.html").read_text()


def test_holm_is_over_all_cells(finished: Path) -> None:
    from testbed.statistics import holm

    tables = json.loads((finished / "tables.json").read_text())
    family = [row for row in lifts(tables) if row["p"] is not None]
    assert [row["p_holm"] for row in family] == pytest.approx(holm([row["p"] for row in family]), abs=1e-5)


def test_the_report_needs_no_script_and_shows_every_part(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert "<script" not in page
    for part in (
        "effects-clean",
        "effects-random_tokens",
        "budget",
        "time",
        "quality",
        "defences",
        "transfer",
        "harm",
    ):
        assert f'<section id="{part}">' in page
    assert page.count("<svg") >= 6


def test_long_names_of_a_stack_and_its_defence_are_whole_in_the_matrix(finished: Path) -> None:
    told = (finished / "tables.json").read_text()
    told = told.replace('"whole"', '"pointwise-reading"').replace('"reversed"', '"windowed-perplexity"')
    svg = render(json.loads(told)).partition('<section id="effects-clean">')[2].partition("</svg>")[0]
    assert ">pointwise-reading<" in svg
    assert ">windowed-perplexity<" in svg


@pytest.mark.parametrize(
    ("override", "axis"),
    [
        ("attack.letters=q", "attack"),
        ("stack.0.k=3", "stack"),
        ("threat.budget.steps=5", "budget"),
        ("threat.budget.steps.more=5", "budget"),
    ],
)
def test_what_an_axis_sets_cannot_be_set_beside_it(file: Path, override: str, axis: str) -> None:
    with pytest.raises(
        ScenarioError, match=f"{override.partition('=')[0]}: the axis {axis} of the cube sets it"
    ):
        load_cube(file, [override], registry=registry())


def test_axes_can_be_set_and_the_rest_reaches_every_cell(file: Path) -> None:
    cube = load_cube(
        file,
        ["cube.budget.steps=[7]", "cube.leave_out=[]", "seeds=[3]", "stack.0.name=end"],
        registry=registry(),
    )
    assert (cube.axes["budget"], len(cube.cells)) == (("7",), 8)
    for cell in cube.cells:
        assert (cell.scenario.seeds, cell.scenario.threat.budget.steps) == ((3,), 7)
        assert [stage.name for stage in cell.scenario.stack] == ["end"]


def test_the_text_says_where_a_cell_is_missing(finished: Path) -> None:
    tables = json.loads((finished / "tables.json").read_text())
    text = "\n".join(lines_of(tables))
    assert "lift@1 of the attack against clean, 2 steps" in text
    assert "whole none" in text
    assert "partial" not in text
    tables["cells"][0]["state"] = "interrupted"
    assert next(lines_of(tables)) == "partial: 5 of 6 cells are finished; the others are left out"


def test_processes_are_kept_from_cell_to_cell_and_change_nothing(
    file: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def counted(jobs: int) -> Any:
        opened.append(jobs)
        return open_processes(jobs)

    monkeypatch.setattr("testbed.on_processes._opened", counted)
    cube = load_cube(file, registry=registry())
    assert run_cube(cube, tmp_path / "out", jobs=2).failed == ()
    assert opened == [2]
    for cell in cube.cells:
        there = Path("cells", cell.folder, "trials.jsonl")
        assert (tmp_path / "out" / there).read_bytes() == (finished / there).read_bytes()


class Brittle(ToyAttack):
    """An attack that fails on some targets."""

    fails: tuple[str, ...] = ()

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        if targets[0].item_id in self.fails:
            raise RuntimeError("no luck")
        return super().__call__(targets, victim, rng)


def test_failed_searches_are_told_wherever_the_cell_has_an_effect(file: Path, tmp_path: Path) -> None:
    text = BASE.partition("cube:\n")[0].replace("attack: {use: toy", "attack: {use: brittle")
    levels = "none: {}, reversed: {around: {use: reversed}, attack.fails: [grand]}"
    file.write_text(text + f"cube:\n  defence: {{{levels}, all: {{attack.fails: [pico, grand]}}}}\n")
    cube = load_cube(file, registry=registry().extended(attacks={"brittle": Brittle}))
    tables = run_cube(cube, tmp_path / "out").tables
    assert [(cell["searches"], cell["failed"]) for cell in tables["cells"]] == [(2, 0), (2, 1), (2, 2)]
    notes = {
        (row["place"]["defence"], row["measure"]): (row["note"], row.get("blocks"))
        for row in tables["defences"]
    }
    assert notes["reversed", "lift@1"] == ("over the searches that both have (1)", 1)
    assert notes["reversed", "nDCG@10"][0] == "", "clean rankings were not searched for"
    assert notes["all", "lift@1"] == ("no search that both have", None)
    told = "searches failed in reversed (1 of 2), all (2 of 2); no estimate has them"
    mark = "† reversed: 1 of 2 searches failed; the effect is that of the others"
    lines = list(lines_of(tables))
    assert {told, mark} <= set(lines)
    (numbers,) = [line for line in lines if line.startswith("attack ")][:1]
    assert numbers.count("†") == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"S{told[1:]}." in page
    assert f"<figcaption>{mark}</figcaption>" in page


def test_the_text_says_whom_p_speaks_of_beside_an_interval_over_targets(finished: Path) -> None:
    tables = json.loads((finished / "tables.json").read_text())
    said = "p is for these targets"
    assert said not in "\n".join(lines_of(tables)), "with two targets the interval is about them too"
    for row in tables["effects"]:
        row["over"] = ["targets", *row["over"]]
    assert said in "\n".join(lines_of(tables))


def test_a_cube_is_compared_by_the_measures_asked_for(ask: Ask, finished: Path) -> None:
    from testbed.statistics import holm

    found = json.loads(
        ask("compare", finished, "--measure", "lift@3", "--measure", "promoted", "--json").stdout
    )
    assert (found["measure"], found["measures"]) == ("lift@3", ["lift@3", "promoted"])
    rows = [row for row in found["effects"] if (row["measure"], row["arm"], row["against"]) == LIFT3]
    assert len(rows) == 6
    for row in rows:
        (cell,) = [cell for cell in found["cells"] if cell["place"] == row["place"]]
        own = json.loads((finished / cell["run"] / "tables.json").read_text())["rows"]
        wanted = [one for one in own if (one["measure"], one["arm"], one["against"]) == LIFT3]
        assert row["estimate"] == next(one["estimate"] for one in wanted if one["target"] == "all")
    tested = [row for row in rows if row["p"] is not None]
    assert [row["p_holm"] for row in tested] == pytest.approx(holm([row["p"] for row in tested]), abs=1e-5)
    assert {row["measure"] for row in found["defences"]} == {"lift@3", "nDCG@10"}
    text = ask("compare", finished, "--measure", "lift@3").stdout
    assert "lift@3 of the attack against clean, 2 steps" in text
    assert "lift@1" not in text
    for command in ("compare", "show"):
        text = ask(command, finished, "--all").stdout
        assert all(f"{name} of the attack against clean" in text for name in ("lift@1", "lift@3", "harm"))


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        ("lift@33", "no cell has an effect by lift@33; did you mean 'lift@3'?; there are "),
        ("top@1", "no cell has an effect by top@1; did you mean 'lift@1'?"),
        ("lft@1", "did you mean 'lift@1'?"),
    ],
)
def test_a_measure_that_no_cell_has_is_refused(ask: Ask, finished: Path, measure: str, message: str) -> None:
    result = ask("compare", finished, "--measure", measure)
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


def test_the_commands_take_a_cube_for_a_scenario_and_its_directory_for_a_run(
    ask: Ask, file: Path, finished: Path
) -> None:
    assert "a cube of 6 cells" in ask("check", file).stdout
    assert "budget   0, 2 steps" in ask("show", file).stdout
    dry = json.loads(ask("run", file, "--dry-run", "--json").stdout)
    assert (len(dry["cells"]), dry["total"]["attack_trials"]) == (6, 12)
    one = ask(
        "run", file, "--set", "evaluate.requests=[office]", "--set", "evaluate.orders=1", "--set", "cube=null"
    )
    assert one.exit_code == 2
    for command in ("compare", "show"):
        result = ask(command, finished)
        assert (result.exit_code, "lift@1 of the attack against clean" in result.stdout) == (0, True), (
            result.output
        )
    assert ask("run", file, "--fail-if", "lift@1 > 0").exit_code == 2


def test_a_registry_takes_texts_from_a_cell(finished: Path, ask: Ask) -> None:
    about = json.loads((finished / "cube.json").read_text())
    (cell,) = [
        cell for cell in about["cells"] if list(cell["place"].values()) == ["vowels", "whole", "none", "2"]
    ]
    result = ask("registry", "add", finished / cell["run"], "--to", "kept", "--all")
    assert (result.exit_code, "2 texts in kept" in result.stdout) == (0, True), result.output


def test_a_plain_scenario_is_no_cube(tmp_path: Path) -> None:
    from testbed.cube import is_cube

    plain = tmp_path / "plain.yaml"
    plain.write_text(BASE.split("cube:\n")[0])
    assert not is_cube(plain)
    assert run(load(plain, ["threat.budget.steps=0"], registry=registry()), tmp_path / "run").failed == ()

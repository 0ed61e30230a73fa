"""Texts of several sources on several victims in one run: records, tables, what is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from testbed.api import Result, run
from testbed.cli import main
from testbed.errors import ScenarioError
from testbed.gate import evaluate, parse
from testbed.records import AttackRecord, EvaluationRecord, from_line, to_line
from testbed.scenario import load, loads
from testbed.stack import Call
from testbed.store import RunDirectory
from testbed.testing import toy_registry
from testbed.trial import run_evaluation
from testbed.types import Situation, Target
from testbed.world import build

TOY = """\
version: 1
name: matrix
catalog: {{use: toy}}
stack: [{{use: toy, k: 5}}]
attack: {{use: random_search, signal: scores, width: 4, objective: {{use: toy}}}}
threat: {{access: scores, field: Description, budget: {{steps: 3}}{threat}}}
targets: {{items: [grand, pico]}}
transfer:
  sources: {sources}
  victims:
    lexical: {{use: bm25, k: 4}}
    two: [{{use: bm25, k: 5}}, {{use: toy, name: second}}]
optimise: {{requests: 1, orders: 2}}
validate: {{requests: 1, orders: 1}}
evaluate: {{requests: 2, orders: 2}}
seeds: [0, 1]
"""


def ran(folder: Path, sources: str = "[stack, two]", threat: str = "", **options: Any) -> Result:
    file = folder / "matrix.yaml"
    file.write_text(TOY.format(sources=sources, threat=threat))
    return run(load(file, registry=toy_registry()), folder / "run", **options)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return ran(tmp_path_factory.mktemp("matrix"))


def rows(result: Result, **wanted: Any) -> list[dict[str, Any]]:
    tables = json.loads((result.path / "tables.json").read_text())
    return [
        row
        for row in tables["rows"]
        if row["section"] == "transfer" and all(row.get(name) == value for name, value in wanted.items())
    ]


def test_every_text_is_measured_on_every_victim_in_the_same_situations(result: Result) -> None:
    assert result.failed == ()
    attacks = [one for one in result.records if isinstance(one, AttackRecord)]
    assert [one.key for one in attacks] == [
        *("attack/grand/0", "attack/grand/1", "attack/pico/0", "attack/pico/1"),
        *("attack/grand/0/two", "attack/grand/1/two", "attack/pico/0/two", "attack/pico/1/two"),
    ]
    rankings = [one for one in result.records if isinstance(one, EvaluationRecord) and one.split == "test"]
    situations: dict[Any, set[Any]] = {}
    for one in rankings:
        if one.arm in ("clean", "attack"):
            cell = (one.victim, one.arm, one.source, one.target, one.seed)
            situations.setdefault(cell, set()).add((one.request, one.order, one.slot))
    assert len(set(map(frozenset, situations.values()))) == 1
    assert len(next(iter(situations.values()))) == 4
    cells = {(victim, arm, source) for victim, arm, source, _, _ in situations}
    others = {(victim, "attack", source) for victim in (None, "lexical", "two") for source in (None, "two")}
    assert cells == others | {(victim, "clean", None) for victim in (None, "lexical", "two")}
    keys = [one.key for one in rankings]
    assert any(key.endswith("/attack/1/0/two/lexical") for key in keys)
    assert any(key.endswith("/clean/-/0/stack/lexical") for key in keys)


def test_the_text_of_a_source_is_what_its_victims_are_shown(result: Result) -> None:
    assert len(list((result.path / "traces").iterdir())) == 8
    world = build(loads(TOY.format(sources="[stack, two]", threat=""), registry=toy_registry()))
    found = {}
    for source, text in ((None, "best of all"), ("two", "zebra")):
        for seed in (0, 1):
            record = AttackRecord(
                key=f"{source}{seed}",
                target="grand",
                field="Description",
                seed=seed,
                text=text,
                source=source,
            )
            found[record.key] = record
    seen = set()
    for trial in world.plan.evaluations:
        if trial.split == "test" and trial.target == Target("grand", "Description"):
            for record in run_evaluation(world, trial, found):
                if record.arm in ("clean", "attack"):
                    text = found[f"{record.source}{record.seed}"].text if record.arm == "attack" else ""
                    call = Call(
                        world.catalog.request(record.request),
                        Situation(record.request, record.order, record.slot),
                        trial.target.edit(text),
                        "grand",
                    )
                    (outcome,) = world.victim(trial.victim).run([call])
                    assert record.ranking == tuple(outcome.slate.ids)
                    assert record.scores == tuple(one.score for one in outcome.slate)
                    seen.add((trial.victim, record.source, record.scores))
    assert len({scores for _, _, scores in seen}) > 6


def test_the_matrix_is_that_of_the_records(result: Result) -> None:
    found = {(row["source"], row["victim"]): row for row in rows(result, measure="lift@1", target="all")}
    assert set(found) == {(s, v) for s in ("stack", "two") for v in ("stack", "lexical", "two")}
    rankings = [one for one in result.records if isinstance(one, EvaluationRecord) and one.split == "test"]
    for (source, victim), row in found.items():
        where = None if victim == "stack" else victim
        whose = None if source == "stack" else source
        mine = [one for one in rankings if one.victim == where]
        clean = {
            (one.target, one.request, one.order): one.ranking[:1] == (one.target,)
            for one in mine
            if one.arm == "clean"
        }
        lifts = [
            (one.ranking[:1] == (one.target,)) - clean[one.target, one.request, one.order]
            for one in mine
            if one.arm == "attack" and one.source == whose
        ]
        assert row["n"] == len(lifts) == 16
        assert row["estimate"] == pytest.approx(sum(lifts) / 16)
        assert row["low"] <= row["estimate"] <= row["high"]
        level = rows(result, measure="top@1", arm="clean", victim=victim, target="all")
        assert [one["estimate"] for one in level] == [pytest.approx(sum(clean.values()) / len(clean))]
        assert "source" not in level[0]


def test_the_cell_of_the_stack_is_the_effect_of_the_run(result: Result) -> None:
    tables = json.loads((result.path / "tables.json").read_text())
    main_rows = [row for row in tables["rows"] if row["section"] != "transfer"]
    assert not any({"source", "victim"} & row.keys() for row in main_rows)
    (effect,) = [
        row
        for row in main_rows
        if (row["measure"], row["arm"], row["against"], row["target"], row["selection"])
        == ("lift@1", "attack", "clean", "all", "mean")
    ]
    (cell,) = rows(result, measure="lift@1", source="stack", victim="stack", target="all")
    assert [cell[name] for name in ("estimate", "low", "high", "n")] == [
        effect[name] for name in ("estimate", "low", "high", "n")
    ]
    gate = evaluate(parse("lift@1 > -2"), tables)
    assert gate.value == effect["estimate"]


def test_other_victims_change_nothing_of_the_run_itself(result: Result, tmp_path: Path) -> None:
    file = tmp_path / "plain.yaml"
    text = TOY.format(sources="[stack]", threat="")
    before, _, behind = text.partition("transfer:\n")
    file.write_text(before + behind[behind.index("optimise") :])
    alone = run(load(file, registry=toy_registry()), tmp_path / "run")
    own = [one for one in result.records if one.source is None and getattr(one, "victim", None) is None]
    assert [to_line(one) for one in alone.records] == [to_line(one) for one in own]


def test_a_run_goes_on_and_is_the_same_in_several_processes(result: Result, tmp_path: Path) -> None:
    whole = (result.path / "trials.jsonl").read_bytes()
    again = ran(tmp_path, jobs=2)
    assert (again.path / "trials.jsonl").read_bytes() == whole
    directory = RunDirectory(again.path)
    records = directory.recover()
    directory.rewrite(records[: len(records) // 2])
    assert (ran(tmp_path).path / "trials.jsonl").read_bytes() == whole


def test_what_is_shown(result: Result) -> None:
    told = CliRunner().invoke(main, ["show", str(result.path)]).output
    assert "lift@1 by source (rows) and victim, 95 % interval\n       stack " in told
    assert told.splitlines()[-1].startswith("two    ")
    page = result.report.read_text()
    assert 'id="transfer"' in page
    assert "lift@1 by victim and source of the text" in page
    assert "first with the text, %" in page


def test_records_say_where_only_if_elsewhere(result: Result) -> None:
    lines = (result.path / "trials.jsonl").read_text().splitlines()
    assert sum('"victim"' in line for line in lines) > 0
    assert [to_line(from_line(line)) for line in lines] == lines
    first = next(line for line in lines if '"clean"' in line)
    assert '"victim"' not in first
    assert '"source"' not in first


def test_one_source_is_enough_and_surrogates_may_be_it(tmp_path: Path) -> None:
    found = ran(tmp_path, sources="[stack]", threat=", surrogates: [{use: toy}]")
    assert {row["source"] for row in rows(found, measure="lift@1")} == {"stack"}
    assert {row["victim"] for row in rows(found, measure="lift@1")} == {"stack", "lexical", "two"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[stack]", "[stack, too]", "transfer.sources.1: there is no victim 'too'; did you mean 'two'?"),
        (
            "[stack]",
            "[two]",
            "transfer.sources: 'stack' is missing: it is attacked in any case; name it first",
        ),
        ("[stack]", "[stack, stack]", "transfer.sources: the source 'stack' is listed twice"),
        (
            "lexical:",
            "stack:",
            "transfer.victims.stack: the name 'stack' stands for the scenario's own stack; give the victim another "
            "name",
        ),
        (
            "access: scores,",
            "access: scores, surrogates: [{use: toy}],",
            None,
        ),
        ("k: 4}", "kk: 4}", "transfer.victims.lexical.kk: unknown key 'kk'; did you mean 'k'?"),
        (
            "attack: {use: random_search, signal: scores, width: 4, objective: {use: toy}}",
            "attack: none",
            "transfer: a transfer needs an attack whose arm is measured; add attack: {use: ...}",
        ),
        (
            "{use: bm25, k: 5}, {use: toy, name: second}",
            "{use: bm25, k: 5}, {use: toy, from: nobody}",
            "transfer.victims.two.1.from.0: unknown stage 'nobody'; known: source, bm25, toy",
        ),
    ],
)
def test_faults(old: str, new: str, expected: str | None) -> None:
    text = TOY.format(sources="[stack]", threat="")
    assert old in text
    text = text.replace(old, new)
    if expected is None:
        loads(text, registry=toy_registry())
        text = text.replace("sources: [stack]", "sources: [stack, two]")
        expected = "transfer.sources: with surrogates there is one source, the surrogates together; leave sources out"
    with pytest.raises(ScenarioError) as caught:
        loads(text, registry=toy_registry())
    assert expected in str(caught.value)


def test_a_source_has_to_show_what_the_attack_reads() -> None:
    text = TOY.format(sources="[stack, lexical]", threat="")
    text = text.replace("random_search, signal: scores", "gcg").replace("access: scores", "access: gradients")
    with pytest.raises(
        ScenarioError, match=r"transfer\.victims\.lexical: gcg reads gradients, but bm25, the last stage"
    ):
        loads(text, registry=toy_registry())


def test_identity() -> None:
    """A scenario with victims is equal to itself written out, and another one than without."""
    scenario = loads(TOY.format(sources="[stack, two]", threat=""), registry=toy_registry())
    again = loads(scenario.to_yaml(), registry=toy_registry())
    assert again == scenario
    assert again.hash == scenario.hash
    other = loads(TOY.format(sources="[stack]", threat=""), registry=toy_registry())
    assert other.hash != scenario.hash

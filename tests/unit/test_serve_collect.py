"""Session logs become a run: what counts as a ranking, which attempt counts, what does not go together."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from serving import BAIT, lines, opened, shop_around

from testbed.cli import main
from testbed.errors import UserError
from testbed.records import AttackRecord, EvaluationRecord, read_records
from testbed.serve.as_run import collect
from testbed.serve.collect import held_in, records_of
from testbed.serve.tools import ToolFault
from testbed.store import RunDirectory


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "sessions.jsonl"


def hold(log: Path, arm: str, count: int = 6, **showing: Any) -> None:
    """Sessions 0 to `count` of an arm, each by the easily led agent; closed in good order."""
    shop = opened(log, arm, **showing)
    for number in range(count):
        shop_around(shop, f"visitor {number}")
    shop.close()


def ask(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def rankings(log: Path) -> list[EvaluationRecord]:
    return [record for held in held_in([log]) for record in records_of(held)]


def test_clean_and_attacked_sessions_are_paired_into_lift(log: Path, tmp_path: Path) -> None:
    hold(log, "clean")
    hold(log, "attack")
    found = collect([log], tmp_path / "run")
    assert found.counts == {"clean": {"ok": 6}, "attack": {"ok": 6}}
    (row,) = (
        row
        for row in found.tables["rows"]
        if (row["measure"], row["arm"], row["against"], row["target"], row["selection"])
        == ("lift@1", "attack", "clean", "all", "mean")
    )
    chosen = [record.ranking[0] for record in rankings(log) if record.arm == "clean"]
    assert row["estimate"] == pytest.approx(
        1 - chosen.count("trek") / 6
    )  # the attacked agent always falls for it
    assert row["n"] == 6
    assert row["low"] <= row["estimate"] <= row["high"]
    records = read_records(tmp_path / "run" / "trials.jsonl")
    assert isinstance(records[0], AttackRecord)
    assert (records[0].text, records[0].key) == (BAIT, "attack/trek/0")
    keys = [record.key for record in records[1:]]
    assert keys[:4] == [
        "evaluate/test/trek/cheap/20000/clean/-/0",
        "evaluate/test/trek/cheap/20000/attack/0/0",
        "evaluate/test/trek/camp/20000/clean/-/0",
        "evaluate/test/trek/camp/20000/attack/0/0",
    ]
    survival = {(row["measure"], row["arm"]) for row in found.tables["rows"] if row["section"] == "survival"}
    assert {
        ("survives:search", "clean"),
        ("survives:open", "attack"),
        ("survives:choose", "attack"),
    } <= survival


def test_a_ranking_is_the_choice_then_what_was_opened(log: Path) -> None:
    shop = opened(log)
    for item in ("duo", "basic", "duo", "trek"):
        shop.call("a", "open_listing", {"item_id": item})
    searched = shop.call("a", "search", {"query": "titanium camping pot"}).ids
    for item in ("trek", "basic"):
        shop.call("a", "choose", {"item_id": item})
    (record,) = rankings(log)
    assert record.ranking == ("basic", "duo", "trek")  # chosen last; then opened first
    assert (record.pool, record.scores, record.status) == (searched, None, "ok")
    assert record.cost == {
        "calls": 7,
        "queries": 1,
        "tokens": record.cost["tokens"],
        "computed": record.cost["computed"],
    }
    assert record.note == "session 0, attempt 0; 7 calls"
    stages = [(stage.stage, stage.rank_in, stage.rank_out, stage.pool) for stage in record.stages]
    place = searched.index("trek") + 1
    assert stages == [("search", None, place, 4), ("open", place, 3, 3), ("choose", 3, None, 1)]


def test_leaving_without_a_choice_is_no_crash(log: Path) -> None:
    shop = opened(log)
    shop_around(shop, "a", choose=False)
    shop_around(shop, "b")
    assert [record.status for record in rankings(log)] == [
        "error",
        "ok",
    ]  # as far as the log says, it was killed
    shop.close()
    silent, chose = rankings(log)
    assert (silent.status, silent.ranking) == ("refusal", ())
    assert silent.note == "session 0, attempt 0; 6 calls; ended without a choice"
    assert chose.status == "ok"


def test_the_first_attempt_that_came_to_an_end_counts(log: Path) -> None:
    killed = opened(log)
    shop_around(killed, "a", wanted=0, choose=False)
    left = opened(log)
    shop_around(left, "a", wanted=0, choose=False)
    left.close()
    shop_around(opened(log), "a", wanted=0)  # too late: the agent had had its say
    (record,) = rankings(log)
    assert (record.status, record.note) == (
        "refusal",
        "session 0, attempt 1; 6 calls; ended without a choice",
    )


def test_wrong_calls_are_counted_and_change_nothing(log: Path) -> None:
    shop = opened(log)
    shop.call("a", "choose", {"item_id": "basic"})
    with pytest.raises(ToolFault, match="there is no listing 'no-such-thing'"):
        shop.call("a", "choose", {"item_id": "no-such-thing"})
    (record,) = rankings(log)
    assert record.ranking == ("basic",)
    assert record.note == "session 0, attempt 0; 2 calls; 1 refused"


def test_the_commands_read_what_was_made(log: Path, tmp_path: Path) -> None:
    hold(log, "clean")
    hold(log, "clean_again")
    hold(log, "attack")
    run = tmp_path / "run"
    made = ask("sessions", log, "--out", run)
    assert made.exit_code == 0, made.output
    assert made.stdout.splitlines()[:3] == ["clean: 6 ok", "clean_again: 6 ok", "attack: 6 ok"]
    assert made.stdout.splitlines()[-1] == f"report: {run / 'report.html'}"
    shown = ask("show", run)
    assert shown.exit_code == 0, shown.output
    assert any(line.split()[:4] == ["lift@1", "all", "attack", "clean"] for line in shown.stdout.splitlines())
    assert ask("report", run).exit_code == 0
    html = (run / "report.html").read_text()
    assert "Real agents were the victim, over MCP (script 1 18x)" in html
    twice = ask("sessions", log, "--out", tmp_path / "again", "--json")
    assert json.loads(twice.stdout)["sessions"]["attack"] == {"ok": 6}
    compared = json.loads(ask("compare", run, tmp_path / "again", "--json").stdout)
    assert {row["estimate"] for row in compared["rows"]} == {0.0}
    before = (run / "trials.jsonl").read_bytes()
    assert ask("sessions", log, "--out", run).exit_code == 0  # made again
    assert (run / "trials.jsonl").read_bytes() == before


def test_an_earlier_run_gives_the_text(log: Path, tmp_path: Path) -> None:
    hold(log, "attack", text="An earlier text.", seed=3)
    collect([log], tmp_path / "run")
    shop = opened(tmp_path / "other.jsonl", "attack", text=None, run=tmp_path / "run")
    assert shop.shop.text == "An earlier text."
    assert shop.shop.showing.arm.seed == 3
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    manifest["catalog"]["fingerprint"] = "0" * 16
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="measured on another catalog"):
        opened(tmp_path / "other.jsonl", "attack", text=None, run=tmp_path / "run")


def test_several_logs_and_seeds_become_one_run(tmp_path: Path) -> None:
    for seed in (0, 1):
        hold(tmp_path / f"{seed}.jsonl", "attack", text=f"text {seed}", seed=seed)
    hold(tmp_path / "clean.jsonl", "clean")
    found = collect(sorted(tmp_path.glob("*.jsonl")), tmp_path / "run")
    manifest = found.run.manifest
    assert (manifest["seeds"], manifest["arms"]) == ([0, 1], ["clean", "attack"])
    assert found.counts == {"clean": {"ok": 6}, "attack": {"ok": 12}}
    assert [stage["name"] for stage in manifest["stack"]] == ["first", "last", "agent"]


def test_an_empty_log_and_no_log(log: Path) -> None:
    opened(log)
    for path, message in (
        (log, "no session was held"),
        (log.with_name("no.jsonl"), "there is no such session log"),
    ):
        with pytest.raises(UserError, match=message):
            held_in([path])


def test_what_was_shown_differently_is_not_put_together(log: Path, tmp_path: Path) -> None:
    hold(log, "clean")
    hold(log, "attack", text="one text")
    hold(log, "attack", text="another text")
    with pytest.raises(UserError, match="two different texts of arm attack, attack seed 0, target trek"):
        collect([log], tmp_path / "run")
    clean, other = tmp_path / "clean.jsonl", tmp_path / "other.jsonl"
    hold(clean, "clean", text="not shown")
    hold(
        other,
        "clean",
        changes={"stack": [{"use": "toy", "k": 3, "name": "first"}, {"use": "toy", "name": "last"}]},
    )
    with pytest.raises(UserError, match=r"the logs hold sessions of different set-ups \(scenario_hash: "):
        collect([clean, other], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_kind_is_not_overwritten(log: Path, tmp_path: Path) -> None:
    hold(log, "clean")
    run = RunDirectory(tmp_path / "run")
    run.prepare("version: 1\n")
    run.write_manifest({"schema": 1, "name": "precious"})
    with pytest.raises(
        UserError, match="holds a run that was not made from session logs; choose another --out"
    ):
        collect([log], tmp_path / "run")
    assert run.manifest["name"] == "precious"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda line: line | {"session": -1}, "session: Input should be greater than or equal to 0"),
        (lambda line: line | {"kind": "chat"}, "Input tag 'chat' found"),
        (lambda line: line | {"session": 99}, "a call of session 99, which never began"),
        (lambda line: [line], "Input should be an object"),
    ],
)
def test_a_spoilt_line_is_named(log: Path, spoil: Any, message: str) -> None:
    hold(log, "clean", 1)
    whole = log.read_text().splitlines()
    whole[2] = json.dumps(spoil(json.loads(whole[2])))
    log.write_text("\n".join(whole) + "\n")
    with pytest.raises(UserError, match=re.escape(message)) as fault:
        held_in([log])
    assert str(log) in str(fault.value)


def test_a_log_of_a_killed_server_is_read_up_to_where_it_got(log: Path) -> None:
    hold(log, "clean", 2)
    whole = log.read_bytes()
    for cut in range(len(whole) // 2, len(whole), 97):
        log.write_bytes(whole[:cut])
        if lines_before(whole[:cut], b'"session"'):
            assert {record.status for record in rankings(log)} <= {"ok", "error"}


def lines_before(data: bytes, kind: bytes) -> bool:
    """Whether a whole line of a kind is there."""
    return any(b'{"kind":' + kind in line for line in data.split(b"\n")[:-1])


def test_a_client_name_is_untrusted(log: Path, tmp_path: Path) -> None:
    shop = opened(log)
    shop.call("a", "choose", {"item_id": "duo"}, client="<script>x\x1b[31m\u202e" * 30)
    assert len(lines(log, "session")[0]["client"]) == 100
    collect([log], tmp_path / "run")
    html = (tmp_path / "run" / "report.html").read_text()
    assert "<script>" not in html
    assert "\u202e" not in html
    assert "\x1b" not in ask("show", tmp_path / "run").stdout

"""Whole runs against a served recommender: money, interruptions, failures, secrets, processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fault_server import Handler, State, good, serving, status

from testbed import api, runner
from testbed.api import Result
from testbed.cli import main
from testbed.errors import StopRun
from testbed.estimate import estimate
from testbed.language.endpoint import client as client_module
from testbed.resume import failures
from testbed.scenario import Scenario, from_mapping
from testbed.store import RunDirectory
from testbed.testing import toy_registry

KEY = "sk-test-fedcba9876543210"
TARGET = "pico"


@pytest.fixture
def state() -> Iterator[State]:
    with serving() as state:
        yield state


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(client_module, "FIRST_WAIT", 0.01)
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MY_KEY", KEY)


def scenario(state: State, attacked: bool = True, catalog: str = "toy", **options: Any) -> Scenario:
    stage = {
        "use": "endpoint",
        "model": "fake",
        "base_url": state.url,
        "api_key_env": "MY_KEY",
        "retries": 1,
        "repeatable": True,
        **options,
    }
    values: dict[str, Any] = {
        "version": 1,
        "name": "served",
        "catalog": {"use": catalog},
        "stack": [stage],
        "evaluate": {"requests": 2, "orders": 2},
        "measures": ["nDCG@10", "RR"],
    }
    if attacked:
        values |= {
            "attack": {"use": "random_search", "width": 2, "length": 3},
            "threat": {"access": "ranks", "field": "Description", "budget": {"steps": 2}},
            "targets": {"items": [TARGET]},
            "optimise": {"requests": 1, "orders": 2},
        }
    return from_mapping(values, registry=toy_registry())


def run(experiment: Scenario, where: Path, **options: Any) -> Result:
    """A run without tables and report, which take seconds."""
    summary = runner.run(experiment, where, **options)
    return Result(where, {}, summary.failed)


def trials(result: Result) -> str:
    return (result.path / "trials.jsonl").read_text()


def test_a_run_is_attacked_measured_and_paid_once(state: State, tmp_path: Path) -> None:
    experiment = scenario(state, price={"input": 1.0, "output": 2.0})
    first = api.run(experiment, tmp_path / "one")
    paid = len(state.asked)
    again = run(experiment, tmp_path / "two")
    assert len(state.asked) == paid
    assert trials(first) == trials(again)
    assert first.failed == ()
    books, kept = first.spending, again.spending
    assert books["requests"] == paid == kept["from_cache"] - books.get("from_cache", 0)
    assert kept.get("requests", 0) == kept.get("money", 0) == 0
    manifest = RunDirectory(first.path).manifest
    assert manifest["spending"] == books
    assert manifest["models"][f"fake at {state.url}"]["device"] == "remote"
    assert any("came over the network" in note for note in manifest["notes"])
    costs = [record.cost for record in first.records]
    assert all(cost["money"] > 0 for cost in costs)
    assert first.tables["rows"]
    assert "Paid to servers" in first.report.read_text()
    assert {"attack_money", "ranking_money"} <= {row["measure"] for row in first.tables["rows"]}


def test_money_of_records_is_what_was_paid(state: State, tmp_path: Path) -> None:
    result = run(scenario(state, attacked=False, price={"input": 1.0, "output": 2.0}), tmp_path / "run")
    assert sum(record.cost["money"] for record in result.records) == pytest.approx(result.spending["money"])
    assert result.spending["input_tokens"] + result.spending["output_tokens"] == sum(
        record.cost["tokens"] for record in result.records
    )


@pytest.mark.parametrize("after", [0, 1, 5, 9])
def test_an_interrupted_run_pays_only_for_what_is_missing(state: State, tmp_path: Path, after: int) -> None:
    experiment = scenario(state, concurrency=1)
    whole = run(experiment, tmp_path / "whole")
    paid = len(state.asked)
    assert paid > 9
    for file in (tmp_path / "cache").rglob("*.json"):
        file.unlink()
    state.asked.clear()
    state.faults, state.always = [None] * after, status(401)
    with pytest.raises(StopRun, match="the key was not accepted"):
        run(experiment, tmp_path / "cut")
    assert RunDirectory(tmp_path / "cut").manifest["state"] == "interrupted"
    assert len(state.asked) == after + 1
    state.always = None
    resumed = run(experiment, tmp_path / "cut")
    assert len(state.asked) == paid + 1  # the refused one was asked again
    assert trials(resumed) == trials(whole)


def test_a_request_that_fails_is_an_error_record_and_can_be_retried(state: State, tmp_path: Path) -> None:
    experiment = scenario(state, attacked=False, concurrency=1)
    state.faults = [None, status(500, "on fire"), status(500, "on fire")]
    result = run(experiment, tmp_path / "run")
    assert len(result.failed) == 1
    assert result.notes[result.failed[0]] == "fake: the server answered 500 (on fire)"
    before = len(state.asked)
    repaired = run(experiment, tmp_path / "run", retry_failed=True)
    assert repaired.failed == ()
    assert len(state.asked) == before + 1
    assert trials(repaired) == trials(run(experiment, tmp_path / "other"))


def test_an_attack_is_not_steered_by_ranks_that_nobody_gave(state: State, tmp_path: Path) -> None:
    experiment = scenario(state, concurrency=1)
    state.faults = [None, None, None, status(500, "on fire"), status(500, "on fire")]
    result = run(experiment, tmp_path / "run")
    assert f"attack/{TARGET}/0" in result.failed
    assert "the stack could not answer: fake: the server answered 500" in result.notes[f"attack/{TARGET}/0"]
    assert failures(run(experiment, tmp_path / "run", retry_failed=True).records) == ()


@pytest.mark.slow
def test_processes_give_the_same_records_and_share_the_books(state: State, tmp_path: Path) -> None:
    experiment = scenario(
        state, attacked=False, catalog="coffee_machines", price={"input": 1.0, "output": 1.0}
    )
    one = run(experiment, tmp_path / "one")
    for file in (tmp_path / "cache").rglob("*.json"):
        file.unlink()
    two = run(experiment, tmp_path / "two", jobs=2)
    assert trials(one) == trials(two)
    assert dict(two.spending) == pytest.approx(dict(one.spending))


@pytest.mark.slow
def test_a_refused_key_ends_all_processes_with_one_message(state: State, tmp_path: Path) -> None:
    state.always = status(401)
    experiment = scenario(state, attacked=False, catalog="coffee_machines")
    with pytest.raises(StopRun, match="the key was not accepted"):
        run(experiment, tmp_path / "run", jobs=2)
    assert RunDirectory(tmp_path / "run").manifest["state"] == "interrupted"
    state.always = None
    assert run(experiment, tmp_path / "run", jobs=2).failed == ()


def test_the_ceiling_ends_the_run_and_a_higher_one_goes_on(state: State, tmp_path: Path) -> None:
    price = {"input": 1.0, "output": 1.0}
    low = scenario(state, price=price, max_cost=0.003, concurrency=1)
    with pytest.raises(StopRun, match="max_cost is reached"):
        run(low, tmp_path / "low")
    before = len(state.asked)
    books = RunDirectory(tmp_path / "low").spending
    assert before > 0
    assert books["money"] <= 0.003
    with pytest.raises(StopRun, match="max_cost is reached"):
        run(low, tmp_path / "low")
    assert len(state.asked) == before
    done = run(scenario(state, price=price, max_cost=1.0), tmp_path / "high")
    assert done.spending["requests"] + books["requests"] == len(state.asked)
    assert done.failed == ()


def repeating_the_key(handler: Handler, body: dict[str, Any]) -> None:
    """A server that says the key wherever it can."""
    answer = good(body)
    answer["model"] = KEY
    answer["choices"][0]["message"]["content"] = f"{KEY}\nno name at all"
    handler.send(200, answer)


def test_the_key_is_written_nowhere(state: State, tmp_path: Path) -> None:
    state.faults = [status(500, KEY), status(500, f"Bearer {KEY}")]
    state.always = repeating_the_key
    cli = CliRunner()
    file = tmp_path / "s.yaml"
    experiment = scenario(state, attacked=False, catalog="coffee_machines", concurrency=1)
    file.write_text(experiment.to_yaml())
    done = cli.invoke(main, ["run", str(file), "--out", str(tmp_path / "run"), "--limit", "1"])
    assert done.exit_code == 1, done.output
    assert KEY in state.asked[0].headers["Authorization"]
    state.faults, state.always = [], status(401, f"bad {KEY}")
    refused = cli.invoke(
        main, ["run", str(file), "--out", str(tmp_path / "second"), "--set", "stack.0.system=x"]
    )
    assert refused.exit_code == 2
    assert "the key was not accepted (it is read from MY_KEY)" in refused.output
    texts = [done.output, refused.output]
    texts += [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert len(texts) > 10
    assert not [text for text in texts if KEY in text or "fedcba9876543210" in text]


def test_the_command_says_what_was_paid(state: State, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    price = {"input": 1000.0, "output": 0.0}
    file.write_text(scenario(state, attacked=False, catalog="coffee_machines", price=price).to_yaml())
    asked = ["run", str(file), "--out", str(tmp_path / "run"), "--limit", "1"]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    assert "paid: 2 requests (0 more from the cache, 0 failed)," in done.output
    assert ", money " in done.output
    found = json.loads(CliRunner().invoke(main, [*asked, "--json"]).stdout)
    assert found["spending"]["requests"] == 2


def test_a_missing_key_is_said_before_anything_is_asked(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_KEY")
    file = tmp_path / "s.yaml"
    away = scenario(state, attacked=False, catalog="coffee_machines", base_url="https://example.org/v1")
    file.write_text(away.to_yaml())
    assert CliRunner().invoke(main, ["check", str(file)]).exit_code == 0
    done = CliRunner().invoke(main, ["run", str(file), "--out", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert done.output.startswith("the environment variable MY_KEY is not set")


def test_a_dry_run_says_what_it_may_cost(state: State) -> None:
    found = estimate(scenario(state, price={"input": 2.0, "output": 8.0}, max_new_tokens=100))
    rankings, queries = found["rankings"], found["attack_queries"]
    assert found["requests"] == rankings + queries
    assert found["input_tokens"] == (rankings + queries) * found["tokens_a_prompt"]
    assert found["output_tokens"] == (rankings + queries) * 100
    assert found["money"] == pytest.approx((found["input_tokens"] * 2 + found["output_tokens"] * 8) / 1e6)
    assert state.asked == []
    free = estimate(scenario(state))
    assert (free["requests"], free["money"]) == (found["requests"], None)
    scored = estimate(
        scenario(
            state, attacked=False, api="completions", reading="likelihood", price={"input": 1, "output": 0}
        )
    )
    assert scored["input_tokens"] == scored["requests"] * 6 * (scored["tokens_a_prompt"] + 8)


def test_a_scenario_without_services_costs_no_money() -> None:
    values = {"version": 1, "name": "x", "catalog": {"use": "toy"}, "stack": [{"use": "toy"}]}
    assert "money" not in estimate(from_mapping(values, registry=toy_registry()))

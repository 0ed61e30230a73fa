"""benchmarks/goal_drift.py and goal_catalogs.py: every step measured once, bands, first steps, what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from retrievers.goals.reach import GoalReach
from testbed.environment import Environment
from testbed.errors import UserError
from testbed.runner import run
from testbed.scenario import load, loads
from testbed.testing import ToyEnvironment, toy_registry
from testbed.types import Listing, Slate

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCENARIO = """
version: 1
name: toy-drift
catalog: {use: toy}
stack: [{use: toy}]
attack: {use: toy, objective: {use: toy}}
threat: {access: scores, field: Description, budget: {steps: 4}}
targets: {items: [grand, trek]}
optimise: {requests: 2, orders: 1}
validate: {requests: 2, orders: 1}
evaluate: {requests: 4, orders: 1, arms: [clean, attack]}
measures: [lift@1]
seeds: [0, 1]
"""


@pytest.fixture(scope="module", autouse=True)
def _on_path() -> Iterator[None]:
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy run with traces; encoders are toys, and nothing is taught."""
    import drift.measuring

    monkeypatch.setattr(Environment, "encoder", ToyEnvironment.encoder)
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path))
    monkeypatch.setattr(drift.measuring, "load", partial(load, registry=toy_registry()))
    plain = {name: GoalReach(heads=False) for name in drift.measuring.OBSERVERS}
    monkeypatch.setattr(drift.measuring, "OBSERVERS", plain)
    run(loads(SCENARIO, registry=toy_registry()), tmp_path / "run", scenario_text=SCENARIO)
    return tmp_path / "run"


def test_every_step_is_measured_on_held_out_requests(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from drift.measuring import Trace, measure
    from drift.plots import draw
    from drift.steps import courses
    from drift.tables import markdown
    from engine.log import Log

    trace = Trace.of(finished, (), 3, None)
    log = Log(tmp_path / "log.jsonl")
    measure(trace, log)
    found = courses(trace, log)
    assert [one.attack.name for one in found] == [
        "grand, seed 0",
        "grand, seed 1",
        "trek, seed 0",
        "trek, seed 1",
    ]
    records = [json.loads(line) for line in (finished / "trials.jsonl").read_text("utf-8").splitlines()]
    for one in found:
        item, seed = one.attack.target.item_id, one.attack.seed
        (attack,) = (
            line
            for line in records
            if line["kind"] == "attack" and (line["target"], line["seed"]) == (item, seed)
        )
        place = one.attack.texts.index(attack["text"])
        for arm, expected in (("attack", -one.means("rank")[place]), ("clean", -one.bands["rank"].clean)):
            ranks = [
                line["ranking"].index(item) + 1
                for line in records
                if line["kind"] == "evaluation"
                and (line["split"], line["target"], line["arm"]) == ("test", item, arm)
                and line["seed"] in (None, seed)
            ]
            assert len(ranks) == 4
            assert expected == pytest.approx(np.mean(ranks))
    before = (tmp_path / "log.jsonl").read_text("utf-8")
    monkeypatch.setattr("drift.measuring.margin", lambda *_: pytest.fail("measured again"))
    measure(Trace.of(finished, (), 3, None), Log(tmp_path / "log.jsonl"))
    assert (tmp_path / "log.jsonl").read_text("utf-8") == before
    assert len(Trace.of(finished, (), 3, None, 2).situations) == 2
    text = markdown(found, 4, 3, "toy-drift")
    assert "4 attacks on 2 listings, 4 held-out requests" in text
    assert text.count("\n| step ") == min(len(one.attack.texts) for one in found)
    first = draw(found, tmp_path / "a").read_bytes()
    assert first == draw(found, tmp_path / "b").read_bytes()


def test_a_run_of_another_stack_is_refused(finished: Path) -> None:
    from drift.measuring import Trace

    with pytest.raises(UserError, match="had another catalog, stack or split; give the same --set as then"):
        Trace.of(finished, ("evaluate.requests=3",), 3, None)
    with pytest.raises(UserError, match="is no run with traces"):
        Trace.of(finished / "traces", (), 3, None)
    next((finished / "traces").iterdir()).unlink()
    with pytest.raises(UserError, match="is not there; let the run finish first"):
        Trace.of(finished, (), 3, None).attacks  # noqa: B018


def test_the_first_step_outside_the_band() -> None:
    from drift.measuring import margin
    from drift.steps import MEASURES, Band, Course, earlier

    band = Band.of(2.0, np.array([1.5, 2.25]))
    assert (band.clean, band.reach, band.random) == (2.0, 0.5, 1.875)
    one_up, all_up = [1.0, 4.0, 2.0, 2.0, 2.0, 2.0], [2.4, 2.6, 2.4, 2.6, 2.4, 2.5]
    rising = np.array([[2.0] * 6, one_up, all_up, [3.0] * 6])
    attack: Any = SimpleNamespace(texts=("",) * 4)
    clean, bands = dict.fromkeys(MEASURES, np.full(6, 2.0)), dict.fromkeys(MEASURES, band)
    one = Course(attack, dict.fromkeys(MEASURES, rising), clean, bands)
    assert (one.left("reach"), one.shown("reach"), one.changed) == (3, 2, 1)
    still = Course(attack, dict.fromkeys(MEASURES, np.full((4, 6), 2.0)), clean, bands)
    assert (still.left("reach"), still.shown("rank"), still.changed) == (None, None, None)
    assert earlier([(1, 2), (None, 2), (3, None), (None, None), (4, 4)]) == (2, 2, 1)
    slate = Slate((Listing("a", {}, 2.0), Listing("b", {}, 0.5)))
    assert (margin(slate, "a"), margin(slate, "b")) == (1.5, -1.5)
    with pytest.raises(UserError, match="a margin needs scores of the target and of a rival"):
        margin(Slate((Listing("a", {}),)), "a")


def test_catalogs_have_a_column_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import goal_catalogs

    plain: dict[str, Any] = {"use": "goals", "heads": False, "plans": 0}
    rows = {
        "few": {**plain, "k": 2},
        goal_catalogs.PLAIN: plain,
        goal_catalogs.HEADS: {**plain, "follows": 0},
    }
    monkeypatch.setattr(goal_catalogs, "ROWS", rows)
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path))
    monkeypatch.setattr(Environment, "encoder", ToyEnvironment.encoder)
    goal_catalogs.main(["--catalogs", "coffee_machines"])
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0] == "| | coffee_machines (24 requests) |"
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {row}" for row in rows] + [
        "| goals − goals, plain cosine"
    ]
    assert len({line.split(" | ")[1] for line in lines[2:5]}) == 3

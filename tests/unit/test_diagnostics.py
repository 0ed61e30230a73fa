"""Confidence, mass, reasoning steps and name familiarity, on records with known answers."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from made_up_run import ITEMS, manifest, records

from testbed.cli import main
from testbed.records import EvaluationRecord, Record, StageRank, to_line
from testbed.report.build import render
from testbed.tables.build import build
from testbed.tables.diagnostics import masses
from testbed.tables.familiarity import familiarity, name_log_probs
from testbed.tables.run import Run
from testbed.testing.tiny import tiny_language_model

WORLD: dict[str, Any] = {"orders": range(4), "splits": ("test",), "targets": ("a",)}


def ranked(arm: str, target: str, seed: int | None, request: str, order: int, rng: object) -> list[str]:
    rest = [item for item in ITEMS if item != target]
    return [target, *rest] if arm == "attack" else [*rest, target]


def scored(made: list[Record], sharp: float = 1.0) -> list[Record]:
    """First choice with log-probability −1 when clean and −3 when attacked, all others 9 nats lower."""
    found: list[Record] = []
    for one in made:
        if isinstance(one, EvaluationRecord):
            top = -3.0 if one.arm == "attack" else -1.0
            scores = (top, *(top - 9.0 * sharp for _ in one.ranking[1:]))
            steps = [
                {"entropy": 2.0, "share": 0.1},
                {"entropy": 1.0 if one.arm == "attack" else 1.5, "share": 0.3},
            ]
            stage = StageRank("rearec", 1, 1, 8, {"steps": steps})
            found.append(dataclasses.replace(one, scores=scores, stages=(stage,)))
        else:
            found.append(one)
    return found


def told(made: list[Record], **more: Any) -> dict[str, Any]:
    return dict(build(made, manifest(targets=("a",), **more))["diagnostics"])


def test_mass_moves_from_the_rival_to_the_target() -> None:
    found = told(scored(records(ranker=ranked, **WORLD)))
    share = 1 / (1 + 7 * math.exp(-9))
    by_item = {one["item"]: one for one in found["mass"]}
    assert by_item["a"]["before"] == pytest.approx(math.exp(-9) * share, rel=1e-4)
    assert by_item["a"]["change"] == pytest.approx(share - math.exp(-9) * share, rel=1e-4)
    assert by_item["b"]["change"] == pytest.approx(-by_item["a"]["change"], rel=1e-4)
    assert by_item["c"]["change"] == 0
    assert [one["item"] for one in found["mass"]][:2] == ["a", "b"]
    assert by_item["a"]["n"] == 2 * 2 * 4


def test_confidence_shifts_are_paired_and_two_sided() -> None:
    found = told(scored(records(ranker=ranked, **WORLD)))
    rows = {(one["quantity"], one["arm"], one["target"]): one for one in found["confidence"]}
    nll = rows["greedy_nll", "attack", "all"]
    assert (nll["before"], nll["after"], nll["change"]) == (1, 3, 2)
    assert nll["p"] is not None
    assert rows["entropy", "attack", "all"]["change"] == pytest.approx(0, abs=1e-9)
    assert rows["greedy_nll", "random_tokens", "all"]["change"] == 0
    assert rows["target_mass", "attack", "a"]["change"] > 0.99


@pytest.mark.parametrize("scores", [tuple(9.0 - place for place in range(8)), (0.0,) * 8])
def test_scores_that_are_no_log_probabilities_have_no_loss(scores: tuple[float, ...]) -> None:
    made = [
        dataclasses.replace(one, scores=scores) if isinstance(one, EvaluationRecord) else one
        for one in records(ranker=ranked, **WORLD)
    ]
    assert {one["quantity"] for one in told(made)["confidence"]} == {"entropy", "target_mass"}


def test_reasoning_steps_come_from_the_trace() -> None:
    found = told(scored(records(ranker=ranked, **WORLD)))["steps"]
    rows = {(one["arm"], one["step"], one["quantity"]): one for one in found}
    assert rows["attack", 0, "entropy"]["change"] == 0
    assert (rows["attack", 1, "entropy"]["before"], rows["attack", 1, "entropy"]["change"]) == (1.5, -0.5)
    assert rows["honest_text", 1, "entropy"]["change"] == 0
    assert {one["stage"] for one in found} == {"rearec"}


def test_records_without_scores_tell_nothing() -> None:
    made = records(ranker=ranked, scores=None, **WORLD)
    found = told(made)
    assert found == {"confidence": [], "mass": [], "steps": []}
    tables = build(made, manifest(targets=("a",)))
    assert '<section id="diagnostics">' not in render(tables, manifest(targets=("a",)), made)


def test_unlisted_scores_are_left_out() -> None:
    record = next(one for one in records(ranker=ranked, **WORLD) if isinstance(one, EvaluationRecord))
    assert masses(dataclasses.replace(record, scores=(None, *record.scores[1:]))) == {}  # type: ignore[index]
    assert sum(masses(record).values()) == pytest.approx(1)


def test_the_report_has_a_section() -> None:
    made = scored(records(ranker=ranked, **WORLD))
    page = render(build(made, manifest(targets=("a",))), manifest(targets=("a",)), made)
    assert '<section id="diagnostics">' in page
    for text in ("How sure the reader is", "Mass on each listing", "By reasoning step"):
        assert text in page


def test_effects_by_how_familiar_a_name_is() -> None:
    def shy(arm: str, target: str, seed: int | None, request: str, order: int, rng: object) -> list[str]:
        """Only rare names can be pushed."""
        return ranked(arm if target in "ab" else "clean", target, seed, request, order, rng)

    targets = tuple("abcdef")
    made = records(targets=targets, ranker=shy, orders=range(3), splits=("test",), arms=("clean", "attack"))
    run = Run.of(made, manifest(targets=targets))
    log_p = dict(zip(targets, (-9.0, -8.0, -5.0, -4.0, -2.0, -1.0), strict=True))
    found = familiarity(run, log_p)
    assert [(one["bin"], one["targets"], one["estimate"]) for one in found["bins"]] == [
        ("rare", ["a", "b"], 1),
        ("middle", ["c", "d"], 0),
        ("familiar", ["e", "f"], 0),
    ]
    assert [one["target"] for one in found["targets"]] == list(targets)
    assert found["rank_correlation"] < -0.7
    assert familiarity(run, {"a": -1.0, "b": -2.0})["bins"] == []


def test_names_are_scored_per_token() -> None:
    model = tiny_language_model()
    found = name_log_probs(model, {"one": "coffee", "two": "coffee coffee coffee coffee"})
    assert all(value < 0 for value in found.values())
    assert abs(found["two"]) < 4 * abs(found["one"]), "a mean, not a sum"
    assert name_log_probs(model, {"one": "coffee"})["one"] == pytest.approx(found["one"], abs=1e-4)


def test_the_command_prints_them(tmp_path: Path) -> None:
    made = scored(records(ranker=ranked, **WORLD))
    (tmp_path / "trials.jsonl").write_text("".join(to_line(one) + "\n" for one in made))
    (tmp_path / "manifest.json").write_text(json.dumps(manifest(targets=("a",))))
    result = CliRunner().invoke(main, ["show", str(tmp_path), "--diagnostics"])
    assert result.exit_code == 0, result.output
    for text in (
        "order sensitivity of clean rankings",
        "greedy_nll",
        "mass on each listing",
        "by reasoning step",
    ):
        assert text in result.stdout
    data = json.loads(CliRunner().invoke(main, ["show", str(tmp_path), "--diagnostics", "--json"]).stdout)
    assert {"schema", "confidence", "mass", "steps", "order", "slots"} == set(data)

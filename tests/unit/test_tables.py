from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from made_up_run import ITEMS, manifest, records

from testbed.cli import main
from testbed.commands.show import _print_survival
from testbed.errors import UserError
from testbed.records import AttackRecord, EvaluationRecord, Record, StageRank, to_line
from testbed.tables import build, frame, tables_of, write_tables
from testbed.tables.row import signed, whose_p

ROW_FIELDS = {
    *(
        "section",
        "measure",
        "target",
        "arm",
        "against",
        "selection",
        "estimate",
        "low",
        "high",
        "n",
        "blocks",
    ),
    *("over", "p", "p_min", "p_holm", "method", "test", "note"),
}


def find(
    tables: dict[str, Any], measure: str, arm: str = "attack", against: str | None = "clean", **more: Any
) -> dict[str, Any]:
    wanted = {"measure": measure, "arm": arm, "against": against, "target": "all", "selection": "mean"} | more
    found = [row for row in tables["rows"] if all(row[name] == value for name, value in wanted.items())]
    assert len(found) == 1, (wanted, len(found))
    return dict(found[0])


def first(item: str) -> list[str]:
    return [item, *(other for other in ITEMS if other != item)]


def to_the_top(arm: str, target: str, seed: int | None, request: str, order: int, rng: object) -> list[str]:
    """The attack puts its target first; otherwise it is last."""
    others = [item for item in ITEMS if item != target]
    return [target, *others] if arm == "attack" else [*others, target]


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    return build(records(ranker=to_the_top), manifest())


# What is in it


def test_every_row_has_the_same_fields_and_is_json(tables: dict[str, Any]) -> None:
    assert {frozenset(row) for row in tables["rows"]} == {frozenset(ROW_FIELDS)}
    assert json.loads(json.dumps(tables, allow_nan=False)) == tables
    assert {row["section"] for row in tables["rows"]} == {
        *("level", "quality", "effect", "harm", "order", "attack", "cost", "survival")
    }


def test_no_row_appears_twice(tables: dict[str, Any]) -> None:
    places = [
        (row["section"], row["measure"], row["target"], row["arm"], row["against"], row["selection"])
        for row in tables["rows"]
    ]
    assert len(set(places)) == len(places)


def test_values_by_hand(tables: dict[str, Any]) -> None:
    """8 items; from rank 8 to rank 1 in each of 2 targets × 2 seeds × 2 requests × 10 orders."""
    lift = find(tables, "lift@1")
    assert (lift["estimate"], lift["n"], lift["blocks"]) == (1, 80, 4)
    assert lift["method"] == "clopper-pearson"
    assert lift["low"] == pytest.approx(1 - 2 * (1 - 0.025 ** (1 / 40)), abs=1e-5)
    assert find(tables, "top@1", against=None)["estimate"] == 1
    assert find(tables, "top@1", "clean", None)["estimate"] == 0
    assert find(tables, "top@1", "clean", None)["n"] == 40
    assert find(tables, "promoted")["estimate"] == 1
    assert find(tables, "net", "random_tokens")["estimate"] == 0
    assert find(tables, "exposure")["estimate"] == pytest.approx(1 - 1 / np.log2(9), abs=1e-5)
    assert find(tables, "target_RR")["estimate"] == pytest.approx(7 / 8)
    assert find(tables, "kendall")["estimate"] == 1
    harm = find(tables, "harm")
    assert [harm[key] for key in ("estimate", "low", "high", "method")] == [0, None, None, "constant"]
    assert find(tables, "exposure_taken")["estimate"] == pytest.approx(1 - 1 / np.log2(9), abs=1e-5)
    assert find(tables, "lift@1", against="random_tokens")["estimate"] == 1
    assert find(tables, "margin")["estimate"] == 8


def test_rates_of_constraint_violations_count_requests_with_constraints_only(tables: dict[str, Any]) -> None:
    """r0 excludes b, which is first under the attack on b, and in the clean arm when a is the target."""
    attack, clean = find(tables, "violation@1", against=None), find(tables, "violation@1", "clean", None)
    assert (attack["estimate"], attack["n"]) == (0.5, 40)
    assert (clean["estimate"], clean["n"]) == (0.5, 20)
    assert find(tables, "violation@1", against=None, target="b")["estimate"] == 1
    assert find(tables, "violation@1", target="b")["estimate"] == 1


def test_rank_shift_has_a_level_for_unlisted(tables: dict[str, Any]) -> None:
    assert tables["rank_levels"] == [*"12345678", "unlisted"]
    counts = np.array(tables["rank_shift"]["a"]["attack"])
    assert counts.shape == (9, 9)
    assert counts[7, 0] == counts.sum() == 40
    assert tables["transitions"]["a"]["attack"]["promoted"] == 1


def test_statuses_stay_in_the_denominator() -> None:
    made = [
        dataclasses.replace(one, ranking=(), scores=None, status="refusal")
        if isinstance(one, EvaluationRecord) and one.arm == "attack" and one.order < 5
        else one
        for one in records(ranker=to_the_top)
    ]
    found = build(made, manifest())
    assert found["statuses"]["attack"] == {"ok": 40, "refusal": 40}
    assert find(found, "top@1", against=None)["estimate"] == 0.5
    assert find(found, "lift@1")["n"] == 80
    assert find(found, "dropped")["estimate"] == 0.5
    assert find(found, "margin")["n"] == 40


def test_failed_trials_are_left_out_and_counted() -> None:
    made = [
        dataclasses.replace(one, ranking=(), scores=None, status="error")
        if isinstance(one, EvaluationRecord) and one.arm == "attack" and one.order < 5
        else one
        for one in records(ranker=to_the_top)
    ]
    found = build(made, manifest())
    assert find(found, "lift@1")["n"] == 40
    assert find(found, "lift@1")["estimate"] == 1
    assert found["statuses"]["attack"]["error"] == 40
    assert any(note.startswith("80 rankings failed") for note in found["notes"])


def test_a_seed_whose_attack_failed_is_left_out() -> None:
    made = [
        dataclasses.replace(one, status="error", note="ValueError: x")
        if isinstance(one, AttackRecord) and (one.target, one.seed) == ("a", 0)
        else one
        for one in records(ranker=seed_matters)
    ]
    found = build(made, manifest())
    assert find(found, "lift@1", target="a")["estimate"] == 1
    assert find(found, "lift@1", target="b")["estimate"] == 0.5
    assert (
        "The attack on a with seed 0 failed (ValueError: x); this seed is left out of every estimate."
        in found["notes"]
    )


def test_the_verdict_says_what_failed_and_where() -> None:
    made = [
        dataclasses.replace(one, status="error", note="KeyError: 'my bug' (mine.py:12)")
        if isinstance(one, AttackRecord) and one.seed == 0
        else one
        for one in records(ranker=seed_matters)
    ]
    sentence = build(made, manifest())["verdict"]["sentence"]
    assert "The attack failed in 2 of 4 searches: KeyError: 'my bug' (mine.py:12)." in sentence
    every = [
        dataclasses.replace(one, status="error", note="ValueError: x")
        if isinstance(one, AttackRecord)
        else one
        for one in made
    ]
    assert (
        build(every, manifest())["verdict"]["sentence"] == "The attack failed in 4 searches: ValueError: x."
    )


def test_the_verdict_says_that_a_budget_ended_before_the_first_step() -> None:
    def with_searches(**changes: Any) -> str:
        made = [
            dataclasses.replace(one, **changes)
            if isinstance(one, AttackRecord) and one.target == "a"
            else one
            for one in records(ranker=to_the_top)
        ]
        return str(build(made, manifest())["verdict"]["sentence"])

    said = "The budget (queries) ended before the first step in 2 of 4 searches: their texts were not searched for."
    assert said in with_searches(steps=0, stopped="queries")
    assert "before the first step" not in with_searches(steps=1, stopped="queries")
    assert "before the first step" not in with_searches(steps=0, stopped="finished")


def test_the_verdict_says_that_searches_wrote_nothing() -> None:
    made = [
        dataclasses.replace(one, text="", steps=0, stopped="finished")
        if isinstance(one, AttackRecord) and one.target == "a"
        else one
        for one in records()
    ]
    said = "The attack wrote nothing in 2 of 4 searches: there the listing is as it was."
    assert said in build(made, manifest())["verdict"]["sentence"]
    assert "wrote nothing" not in build(records(), manifest())["verdict"]["sentence"]


def test_rivals_and_their_concentration(tables: dict[str, Any]) -> None:
    rival = next(one for one in tables["rivals"] if one["target"] == "a" and one["item"] == "b")
    assert rival["taken"] == pytest.approx(1 - 1 / np.log2(3), abs=1e-5)
    assert rival["name"] == "B"
    worst = find(tables, "exposure_taken_largest", target="a")
    assert worst["estimate"] == rival["taken"]
    assert worst["note"] == "lost by B"
    assert 0 < find(tables, "exposure_taken_gini", target="a")["estimate"] < 1


def test_examples_are_the_median_situation(tables: dict[str, Any]) -> None:
    example = tables["examples"][0]
    assert example["text"] == "<b>text a 0</b>"
    assert example["situation"]["rank_clean"] == 8
    assert example["situation"]["rank_attacked"] == 1
    assert example["situation"]["request_text"] == "text of r0"
    assert example["situation"]["attacked"][0] == {"item": "a", "name": "A", "score": 0.0}


def test_survival_by_stage() -> None:
    made = [
        dataclasses.replace(
            one,
            stages=(
                StageRank("bm25", None, 2 if one.arm == "attack" else None, 4),
                StageRank("llm", 2 if one.arm == "attack" else None, 1 if one.arm == "attack" else None, 4),
            ),
        )
        if isinstance(one, EvaluationRecord)
        else one
        for one in records(ranker=to_the_top)
    ]
    stack = [{"name": "bm25", "inputs": ["source"]}, {"name": "llm", "inputs": ["bm25"]}]
    found = build(made, {**manifest(), "stack": stack})
    assert find(found, "survives:bm25", against=None)["estimate"] == 1
    assert find(found, "first:bm25", against=None)["estimate"] == 0
    assert find(found, "survives:bm25")["estimate"] == 1
    assert find(found, "first:llm")["estimate"] == 1
    counts = next(
        one for one in found["survival"] if (one["arm"], one["target"], one["stage"]) == ("clean", "a", "llm")
    )
    assert counts == {"arm": "clean", "target": "a", "stage": "llm", "n": 20, "in": 0, "out": 0, "first": 0}


def test_stages_side_by_side_are_shown_the_whole_catalog(capsys: pytest.CaptureFixture[str]) -> None:
    made = [
        dataclasses.replace(
            one,
            stages=(
                StageRank("bm25", None, 3, 4),
                StageRank("dense", None, None, 4),
                StageRank("fuse", 3, 1 if one.arm == "attack" else None, 4),
            ),
        )
        if isinstance(one, EvaluationRecord)
        else one
        for one in records(ranker=to_the_top)
    ]
    whole = ["source"]
    stack = [{"name": name, "inputs": whole} for name in ("bm25", "dense")]
    found = build(made, {**manifest(), "stack": [*stack, {"name": "fuse", "inputs": ["bm25", "dense"]}]})
    clean = {one["stage"]: one for one in found["survival"] if one["arm"] == "clean" and one["target"] == "a"}
    assert [(clean[name]["in"], clean[name]["out"]) for name in ("bm25", "dense", "fuse")] == [
        (20, 20), (20, 0), (20, 0)
    ]  # fmt: skip
    lost = {(one["arm"], *one["stages"]): one["n"] for one in found["lost"] if one["target"] == "a"}
    assert (lost["clean", "fuse"], lost["attack",]) == (20, 40)
    _print_survival(found)
    told = capsys.readouterr().out.splitlines()
    assert told[2].split() == ["arm", "bm25", "dense", "fuse", "first", "of"]
    attack = next(line for line in told if line.startswith("attack"))
    assert len(set(attack.split()[1:2] + attack.split()[3:])) == 1
    assert next(line for line in told if line.startswith("clean")).split()[3:5] == ["0", "0"]


def test_cost_and_search_rows(tables: dict[str, Any]) -> None:
    assert find(tables, "attack_queries", against=None)["estimate"] == 400.5
    assert find(tables, "ranking_tokens", "clean", None)["estimate"] == 100
    assert find(tables, "settle_step", against=None)["estimate"] == 20.5
    assert find(tables, "objective_last", against=None, target="a")["estimate"] == 1.5
    settled = find(tables, "settled_first", against=None)
    assert settled["estimate"] == 1
    assert settled["low"] == pytest.approx(0.397635)
    assert tables["time_to_first"]["curve"] == [[0, 1], [20, 0.5], [21, 0]]


def test_attacks_that_never_get_there_are_censored() -> None:
    found = build(records(ranker=lambda *_: ITEMS[::-1]), manifest())
    assert {(one["step"], one["settled"]) for one in found["time_to_first"]["attacks"]} == {(40, False)}
    assert found["time_to_first"]["curve"] == [[0, 1]]


def test_convergence_from_traces() -> None:
    lines = [
        {"step": step, "objective": 5.0 - step / 1000, "best": 5.0 - step / 1000} for step in range(1000)
    ]
    found = build(records(), manifest(), {("a", 0): [*lines, {"step": None}, {}]})
    curve = found["convergence"][0]
    assert (curve["target"], curve["seed"]) == ("a", 0)
    assert len(curve["steps"]) == len(curve["best"]) <= 200
    assert (curve["steps"][0], curve["steps"][-1]) == (0, 999)
    assert found["convergence"][1]["steps"] == []


# Selection


def seed_matters(arm: str, target: str, seed: int | None, request: str, order: int, rng: object) -> list[str]:
    """Seed 1 always wins, seed 0 never."""
    return to_the_top(arm if seed == 1 else "clean", target, seed, request, order, rng)


def test_the_best_seed_is_chosen_on_validation_and_scored_on_test() -> None:
    found = build(records(ranker=seed_matters), manifest())
    assert found["best_of_validation"] == {"a": 1, "b": 1}
    assert find(found, "lift@1")["estimate"] == 0.5
    best = find(found, "lift@1", selection="best_of_validation")
    assert (best["estimate"], best["n"], best["blocks"]) == (1, 40, 2)
    assert [one["best_of_validation"] for one in found["examples"]] == [False, True, False, True]


def test_test_results_do_not_choose() -> None:
    """On validation seed 0 wins, on test seed 1 does: the choice must be 0 and score nothing."""
    validation = [
        one
        for one in records(
            ranker=lambda arm, target, seed, *_: to_the_top(
                "attack" if seed == 0 else "clean", target, seed, "", 0, None
            )
        )
        if isinstance(one, EvaluationRecord) and one.split == "validate"
    ]
    test = [
        one
        for one in records(ranker=seed_matters)
        if not (isinstance(one, EvaluationRecord) and one.split == "validate")
    ]
    found = build([*test, *validation], manifest())
    assert found["best_of_validation"] == {"a": 0, "b": 0}
    assert find(found, "lift@1", selection="best_of_validation")["estimate"] == 0


def test_several_seeds_without_validation_cannot_be_chosen_from() -> None:
    found = build(records(splits=("test",)), manifest())
    assert found["best_of_validation"] == {}
    assert not [row for row in found["rows"] if row["selection"] == "best_of_validation"]
    assert "No validation rankings to choose a seed by for a, b." in found["notes"]


# Tests and corrections


def test_p_values_and_their_floor(tables: dict[str, Any]) -> None:
    pooled = find(tables, "lift@1")
    assert (pooled["p"], pooled["p_min"], pooled["test"]) == (0.125, 0.125, "sign-flip, exact")
    cell = find(tables, "lift@1", target="a", selection="best_of_validation")
    assert cell["test"] == "mcnemar, exact"
    assert cell["p"] == pytest.approx(2 * 0.5**20)
    assert find(tables, "promoted")["p"] is None


def test_whom_p_speaks_of_is_said_beside_an_interval_over_targets() -> None:
    row = {"p": 0.03, "over": ["targets", "requests"]}
    assert whose_p([row]).startswith("p is for these targets; an interval")
    assert whose_p([{**row, "p": None}, {**row, "over": ["seeds"]}]) == ""


def test_holm_covers_the_cells_of_the_primary_measure(tables: dict[str, Any]) -> None:
    corrected = [row for row in tables["rows"] if row["p_holm"] is not None]
    assert {row["measure"] for row in corrected} == {"lift@1"}
    assert "all" not in {row["target"] for row in corrected}
    # 2 targets × (3 arms against clean + attack against 2 controls) with the mean, 2 × 3 with the best seed.
    assert [
        sum(row["selection"] == name for row in corrected) for name in ("mean", "best_of_validation")
    ] == [10, 6]
    assert all(row["p_holm"] >= row["p"] for row in corrected)


def test_the_first_lift_of_the_scenario_is_the_primary_measure() -> None:
    found = build(records(), manifest(measures=["nDCG@10", "lift@2"]))
    assert {row["measure"] for row in found["rows"] if row["p_holm"] is not None} == {"lift@2"}
    assert found["verdict"]["measure"] == "lift@2"


# Verdict


def test_verdict(tables: dict[str, Any]) -> None:
    verdict = tables["verdict"]
    assert verdict["answer"] == "lifted"
    assert verdict["pooled"]["mean"]["estimate"] == 1
    assert verdict["targets"]["a"]["best_of_validation"]["estimate"] == 1
    assert verdict["controls"]["random_tokens"]["attack_minus_control"]["answer"] == "lifted"
    assert verdict["controls"]["honest_text"]["control_minus_clean"]["estimate"] == 0
    assert verdict["sentence"].startswith(
        "The attack raised the chance of rank 1: +100 points (95 % interval +82 to +100), "
        "mean over 4 texts for 2 targets and 80 pairs."
    )
    assert "for these targets only" in verdict["sentence"]


def test_the_verdict_lists_all_that_was_held_fixed() -> None:
    found = build(records(seeds=(0,), requests=("r0",), orders=range(1)), manifest())
    assert "holds for these targets, seeds, requests and orders only." in found["verdict"]["sentence"]


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (-0.5, 0, "-0.5"),
        (19.4, 0, "+19"),
        (0.0, 0, "+0"),
        (-1e-9, 0, "+0"),
        (-0.0004, 3, "-0.0004"),
        (-0.0, 2, "+0.00"),
    ],
)
def test_rounding_does_not_make_nothing_of_a_bound(value: float, digits: int, text: str) -> None:
    assert signed(value, digits) == text


def test_effects_are_printed_under_their_contrast(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(manifest()))
    (tmp_path / "trials.jsonl").write_text("".join(to_line(record) + "\n" for record in records()))
    shown = CliRunner().invoke(main, ["show", str(tmp_path)]).output
    assert shown.count("\nattack against clean\n") == shown.count("\nattack against random_tokens\n") == 1


def test_verdict_without_an_effect() -> None:
    found = build(records(ranker=lambda *_: ITEMS), manifest())
    assert found["verdict"]["answer"] == "not shown"
    assert found["verdict"]["sentence"].startswith(
        "It was not shown that the attack changed the chance of rank 1: +0"
    )


def test_a_reader_that_always_picks_slot_one_has_full_position_bias_and_no_gain() -> None:
    def pick_first_slot(
        arm: str, target: str, seed: int | None, request: str, order: int, rng: object
    ) -> Sequence[str]:
        return tuple(str(item) for item in np.random.default_rng(order).permutation(ITEMS))

    found = build(records(ranker=pick_first_slot, orders=range(24)), manifest())
    assert find(found, "position_bias", "clean", None)["estimate"] == 1
    assert find(found, "lift@1")["estimate"] == 0
    assert found["verdict"]["answer"] == "not shown"
    assert {one["slot"]: one["first"] for one in found["slots"] if one["target"] == "a"}.pop(0) == 1


def test_one_order_says_nothing_about_position_bias() -> None:
    found = build(records(orders=(3,)), manifest())
    row = find(found, "position_bias", "clean", None)
    assert (row["estimate"], row["note"]) == (None, "every request was shown in one order only")


# Inputs out of the ordinary


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([], manifest(targets=(), requests=())),
        ([], {"schema": 1}),
        (records(targets=(), arms=("clean",)), manifest(targets=())),
        (records(arms=("clean",)), manifest()),
        (records(arms=("clean", "attack")), manifest()),
        (records(arms=("attack",)), manifest()),
        (records(seeds=()), manifest()),
        (records(seeds=(7,)), manifest()),
        (records(requests=("r0",), orders=(0,)), manifest(requests=("r0",))),
        (records(ranker=lambda *_: ()), manifest()),
        (records(ranker=lambda *_: (), status="refusal", scores=None, stages=(), cost={}), manifest()),
        (records(status="error"), manifest()),
        (records(scores=None, pool=()), manifest(judgements={}, constraints={}, items={})),
        (records(targets=("a",), seeds=(0,)), manifest(targets=("a",))),
        (records(splits=("validate",)), manifest()),
    ],
)
def test_pathological_runs_give_tables(made: list[Record], said: dict[str, Any]) -> None:
    found = build(made, said)
    json.dumps(found, allow_nan=False)
    assert found["verdict"]["sentence"]
    for row in found["rows"]:
        assert row["low"] is None or row["low"] <= row["estimate"] + 1e-9 <= row["high"] + 2e-9, row


def test_a_run_without_targets_has_quality_only() -> None:
    found = build(records(targets=(), arms=("clean",)), manifest(targets=()))
    assert find(found, "nDCG@10", "clean", None)["n"] == 20
    assert {row["section"] for row in found["rows"]} == {"quality", "harm", "order", "cost"}
    assert found["verdict"]["sentence"] == "No attack was measured."


def test_an_unknown_measure_in_an_old_manifest_becomes_a_note() -> None:
    found = build(records(), manifest(measures=["lift@1", "charm"]))
    assert any("unknown measure 'charm'" in note for note in found["notes"])


def test_a_manifest_of_another_schema_is_refused() -> None:
    with pytest.raises(UserError, match=r"manifest\.json: schema 2 is not one this version reads \(1\)"):
        build([], {"schema": 2})


def test_missing_cells_do_not_shift_the_pairs() -> None:
    made = records(ranker=to_the_top)
    kept = [
        one
        for one in made
        if not (isinstance(one, EvaluationRecord) and one.arm == "clean" and one.order % 2)
    ]
    found = build(kept, manifest())
    assert find(found, "lift@1")["n"] == 40
    assert find(found, "lift@1")["estimate"] == 1


def test_clean_again_is_paired_with_clean_by_situation() -> None:
    made = records(ranker=to_the_top, arms=("clean", "attack"))
    again = [
        dataclasses.replace(one, arm="clean_again", replicate=1, key=one.key + "again")
        for one in made
        if isinstance(one, EvaluationRecord) and one.arm == "clean"
    ]
    found = build([*made, *again], manifest(arms=["clean", "clean_again", "attack"]))
    assert find(found, "net", "clean_again")["estimate"] == 0
    assert find(found, "net", "clean_again")["n"] == 40


# Files, repetition and speed


def written(directory: Path, made: list[Record]) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "trials.jsonl").write_text("".join(to_line(one) + "\n" for one in made))
    (directory / "manifest.json").write_text(json.dumps(manifest()))
    return directory


def test_tables_are_the_same_bytes_again(tmp_path: Path) -> None:
    directory = written(tmp_path / "run", records())
    (directory / "traces").mkdir()
    (directory / "traces" / "a-0.jsonl").write_text('{"step":1,"objective":4.0,"best":4.0}\n{"step":2,"obj')
    write_tables(directory)
    once = (directory / "tables.json").read_bytes()
    write_tables(directory)
    assert (directory / "tables.json").read_bytes() == once
    assert json.loads(once) == tables_of(directory)
    assert json.loads(once)["convergence"][0]["steps"] == [1]
    assert not list(directory.glob("*.tmp"))


def test_results_have_one_row_per_ranking(tmp_path: Path) -> None:
    import polars

    directory = written(tmp_path / "run", records())
    write_tables(directory)
    found = polars.read_parquet(directory / "results.parquet")
    assert found.height == sum(isinstance(one, EvaluationRecord) for one in records())
    assert {"target", "arm", "seed", "rank", "listed", "ranking", "scores", "cost_tokens"} <= set(
        found.columns
    )
    assert found.filter(polars.col("arm") == "clean")["seed"].is_null().all()
    assert frame([]).height == 0


def test_a_directory_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trials\.jsonl: cannot be read"):
        tables_of(tmp_path)
    (tmp_path / "trials.jsonl").touch()
    with pytest.raises(UserError, match=r"manifest\.json: cannot be read: .*; is this a run directory\?"):
        tables_of(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json: not JSON"):
        tables_of(tmp_path)


def test_five_thousand_lines_take_under_three_seconds() -> None:
    requests = [f"r{n}" for n in range(10)]
    made = records(requests=requests, orders=range(42), splits=("test",))
    assert len(made) > 5000
    build(records(), manifest())
    seconds = []
    while (
        len(seconds) < 3 and min(seconds, default=3) >= 3
    ):  # a busy machine makes even processor time longer
        start = time.process_time()
        build(made, manifest(requests=requests))
        seconds.append(time.process_time() - start)
    assert min(seconds) < 3

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from made_up_run import ITEMS, manifest, records

from testbed.commands.options import say_bounds
from testbed.compare import compare
from testbed.errors import UserError
from testbed.records import EvaluationRecord, Record, to_line


def last(arm: str, target: str, seed: int | None, request: str, order: int, rng: object) -> list[str]:
    return [*(item for item in ITEMS if item != target), target]


def attacked(arm: str, target: str, seed: int | None, request: str, order: int, rng: object) -> list[str]:
    ranking = last(arm, target, seed, request, order, rng)
    return [target, *ranking[:-1]] if arm == "attack" else ranking


def halved(arm: str, target: str, seed: int | None, request: str, order: int, rng: object) -> list[str]:
    """A defence that stops the attack in every second order."""
    return attacked(arm if order % 2 else "clean", target, seed, request, order, rng)


def run(directory: Path, made: list[Record], **more: Any) -> Path:
    directory.mkdir()
    (directory / "trials.jsonl").write_text("".join(to_line(one) + "\n" for one in made))
    (directory / "manifest.json").write_text(json.dumps(manifest(**more)))
    return directory


def find(
    found: dict[str, Any], measure: str, arm: str, against: str | None, target: str = "all"
) -> dict[str, Any]:
    rows = [
        row
        for row in found["rows"]
        if (row["measure"], row["arm"], row["against"], row["target"]) == (measure, arm, against, target)
    ]
    assert len(rows) == 1
    return dict(rows[0])


def test_what_a_defence_took_away(tmp_path: Path) -> None:
    found = compare(
        [run(tmp_path / "open", records(ranker=attacked)), run(tmp_path / "defended", records(ranker=halved))]
    )
    json.dumps(found, allow_nan=False)
    lift = find(found, "lift@1", "attack", "clean")
    assert (lift["run"], lift["estimate"], lift["base_value"], lift["run_value"]) == (
        "defended",
        -0.5,
        1.0,
        0.5,
    )
    assert (lift["n"], lift["blocks"]) == (80, 4)
    assert lift["low"] <= -0.5 <= lift["high"] < 0
    assert find(found, "top@1", "attack", None)["estimate"] == -0.5
    assert find(found, "top@1", "clean", None)["estimate"] == 0
    assert find(found, "nDCG@10", "clean", None, "a")["n"] == 20


def test_holm_marks_cells_of_the_primary_measure(tmp_path: Path) -> None:
    paths = [run(tmp_path / name, records(ranker=halved if name != "a" else attacked)) for name in "abc"]
    found = compare(paths)
    corrected = [row for row in found["rows"] if row["p_holm"] is not None]
    assert {row["run"] for row in corrected} == {"b", "c"}
    assert {(row["measure"], row["against"]) for row in corrected} == {("lift@1", "clean")}
    # 2 runs × 2 targets × 3 arms against clean.
    assert len(corrected) == 12
    assert [one["run"] for one in found["runs"]] == ["b", "c"]


def test_a_run_against_itself_differs_nowhere(tmp_path: Path) -> None:
    made = records()
    found = compare([run(tmp_path / "a", made), run(tmp_path / "b", made)])
    assert {row["estimate"] for row in found["rows"]} == {0}
    lift, quality = find(found, "lift@1", "attack", "clean"), find(found, "nDCG@10", "attack", None)
    assert lift["low"] < 0 < lift["high"], "an event that never happened is bounded"
    assert (quality["low"], quality["method"], say_bounds(quality)) == (None, "constant", "in every pair")
    assert found["notes"] == []


def test_comparing_twice_gives_the_same(tmp_path: Path) -> None:
    paths = [run(tmp_path / "a", records()), run(tmp_path / "b", records(rng_seed=1))]
    assert compare(paths) == compare(paths)


def test_only_shared_situations_count(tmp_path: Path) -> None:
    found = compare(
        [
            run(tmp_path / "a", records(orders=range(10), ranker=attacked)),
            run(tmp_path / "b", records(orders=range(5, 20), ranker=halved, arms=("clean", "attack"))),
        ]
    )
    assert find(found, "lift@1", "attack", "clean")["n"] == 40
    assert found["notes"] == [
        "b: 20 situations are only in the base and 40 only in this run; left out",
        "b: arms in one run only are left out: random_tokens, honest_text",
    ]


def test_other_measures_on_request(tmp_path: Path) -> None:
    paths = [run(tmp_path / "a", records()), run(tmp_path / "b", records(rng_seed=1))]
    found = compare(paths, measures=["lift@5"])
    assert found["primary"] == "lift@5"
    assert find(found, "lift@5", "attack", "clean")["n"] == 80


def test_different_catalogs_are_refused(tmp_path: Path) -> None:
    other = {"name": "letters", "fingerprint": "11"}
    paths = [run(tmp_path / "a", records()), run(tmp_path / "b", records(), catalog=other)]
    with pytest.raises(
        UserError, match=r"a and b were run on different catalogs \(fingerprints '00' and '11'\)"
    ):
        compare(paths)


def test_different_orders_under_one_number_are_refused(tmp_path: Path) -> None:
    moved = [
        dataclasses.replace(one, slot=0) if isinstance(one, EvaluationRecord) else one for one in records()
    ]
    paths = [run(tmp_path / "a", records()), run(tmp_path / "b", moved)]
    with pytest.raises(UserError, match=r"in different slots .* their orders cannot be paired"):
        compare(paths)


def test_nothing_in_common_is_refused(tmp_path: Path) -> None:
    paths = [run(tmp_path / "a", records(orders=(0, 1))), run(tmp_path / "b", records(orders=(2, 3)))]
    with pytest.raises(UserError, match="a and b share no test situation; nothing can be paired"):
        compare(paths)


def test_one_run_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="compare needs two or more run directories"):
        compare([tmp_path])


def test_directories_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for parent in "xy":
        (tmp_path / parent).mkdir()
    paths = [run(tmp_path / parent / "run", records()) for parent in "xy"]
    assert compare(paths)["base"]["run"] == str(paths[0])

"""Runs with parts missing: the section says so in a sentence, and the page stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_runs import manifest, records, write_run
from test_report_page import Page

from testbed.records import AttackRecord, Record
from testbed.report import write_report

ONE = ("aurelia-grand",)


def _attacks_only() -> list[Record]:
    return [record for record in records(orders=1) if isinstance(record, AttackRecord)]


def _all_failed() -> list[Record]:
    return records(
        targets=ONE, orders=2, status="error", ranking=(), scores=None, stages=(), note="out of memory"
    )


CASES: dict[str, tuple[Callable[[], list[Record]], dict[str, Any], tuple[str, ...]]] = {
    "no attack": (
        lambda: records(targets=(), arms=("clean",)),
        {"targets": {}, "attack": None, "threat": None},
        ("No attack was measured", "No attack, so no text to show.", "No attack was searched for."),
    ),
    "no targets but all arms": (
        lambda: records(targets=(), arms=("clean", "honest_text")),
        {"targets": {}},
        ("No attack was measured",),
    ),
    "no controls": (
        lambda: records(arms=("clean", "attack"), orders=3),
        {"arms": ["clean", "attack"]},
        ("No control arm",),
    ),
    "no clean": (lambda: records(arms=("attack",), orders=3), {}, ("The attack cannot be judged",)),
    "no judgements": (
        lambda: records(orders=3),
        {"judgements": {}, "constraints": {}},
        ("quality is not defined",),
    ),
    "all refusals": (
        lambda: records(orders=3, status="refusal", ranking=(), scores=None, stages=()),
        {},
        ("refusal", "Nothing was ranked."),
    ),
    "all failed": (_all_failed, {}, ("Nothing was measured",)),
    "one situation": (
        lambda: records(targets=ONE, seeds=(0,), requests=("r0",), orders=1),
        {},
        ("1 request, 1 order",),
    ),
    "no records": (list, {}, ("Nothing was measured",)),
    "attacks only": (_attacks_only, {}, ("Nothing was measured", "No test ranking goes with this text.")),
    "no scores and pools": (lambda: records(orders=3, scores=None, pool=()), {}, ("Net lift",)),
    "no stages": (
        lambda: records(orders=3, stages=(), cost={}),
        {"stack": []},
        ("does not describe the stack",),
    ),
    "never listed": (lambda: records(orders=3, ranking=("pietra-moka",), scores=None), {}, ("unlisted",)),
    "running": (
        lambda: records(orders=2)[:9],
        {"state": "running", "finished": None},
        ("The run is not finished",),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_degenerate_runs_render(case: str, tmp_path: Path) -> None:
    make, changes, sentences = CASES[case]
    found = make()
    targets = tuple(dict.fromkeys(one.target for one in found if one.target is not None))
    run = write_run(tmp_path, found, manifest(targets, ("r0", "r1", "r2", "r3")) | changes)
    html = write_report(run).read_text(encoding="utf-8")
    text = "".join(Page(html).texts)
    for sentence in sentences:
        assert sentence in text
    for word in ("None", "nan", "Undefined", "inf ["):
        assert word not in text.split()


def test_a_bare_manifest_is_enough(tmp_path: Path) -> None:
    run = write_run(tmp_path, records(orders=2), {"schema": 1})
    (run / "scenario.yaml").unlink()
    (run / "timings.jsonl").unlink()
    text = "".join(Page(write_report(run).read_text(encoding="utf-8")).texts)
    assert "The run directory has no scenario.yaml." in text
    assert "aurelia-grand" in text


def test_a_manifest_of_wrong_types(tmp_path: Path) -> None:
    wrong = {
        "models": {"a": 3},
        "stack": [3, {"name": "llm", "inputs": ["llm", "x"], "options": 3}, {"use": "z"}],
        "threat": {"budget": 7},
        "splits": {"test": 3},
        "argv": "x",
        "notes": "x",
        "targets": {"aurelia-grand": None},
        "machine": [],
        "threads": "many",
    }
    run = write_run(tmp_path, records(targets=ONE, orders=2), manifest(ONE, ("r0",)) | wrong)
    assert "What was attacked" in write_report(run).read_text(encoding="utf-8")


def test_many_targets_are_cut(tmp_path: Path) -> None:
    targets = tuple(f"target-{number}" for number in range(12))
    found = records(
        targets=targets,
        seeds=(0,),
        requests=("r0",),
        orders=2,
        splits=("test",),
        ranking=targets[:5],
        scores=None,
    )
    html = write_report(write_run(tmp_path, found, manifest(targets, ("r0",)))).read_text(encoding="utf-8")
    assert "Charts show the first 8 of 12 targets" in html
    assert len(html) < 1_200_000

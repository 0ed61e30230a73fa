"""Requests that are offered a part of the catalog: in the stack, the plan, the checks and the manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from safegeo_folder import write

from catalogs.loaders import SafeGeo
from retrievers.bm25 import BM25
from testbed.catalog import Catalog
from testbed.scenario import load
from testbed.stack import Call, Node, Stack
from testbed.testing import CheckFailed, ToyEnvironment, ToyRanker, check_catalog, toy_catalog
from testbed.types import Request, Situation, Target

SCENARIO = """
version: 1
name: offered
catalog: {{use: safegeo, path: {folder}}}
stack: [{{use: bm25}}]
attack: {{use: fixed_text, text: best}}
threat: {{access: none, field: Category}}
targets: {{items: [{target}]}}
hold_out: orders
optimise: {{requests: [day_pack-0], orders: 1}}
evaluate: {{requests: {requests}, orders: 2, arms: [clean, attack]}}
"""


def offered() -> Catalog:
    catalog = toy_catalog()
    request = replace(catalog.requests[0], candidates=(catalog.ids[3], catalog.ids[1]))
    return replace(catalog, requests=(request, *catalog.requests[1:]))


def test_a_stage_is_shown_the_candidates_with_the_edits() -> None:
    catalog = offered()
    request = catalog.requests[0]
    edit = Target(catalog.ids[1], "Description").edit("zebra zebra")
    for plugin in (ToyRanker(), BM25()):
        stack = Stack(catalog, [Node("s", plugin.build(catalog, ToyEnvironment()))])
        situation = Situation(request.id, 0)
        (outcome,) = stack.run([Call(request, situation, edit, catalog.ids[1])])
        assert set(outcome.slate.ids) == {catalog.ids[3], catalog.ids[1]}
        listing = next(one for one in outcome.slate if one.item_id == catalog.ids[1])
        assert listing.fields["Description"].endswith("zebra zebra")
        (other,) = stack.run([Call(catalog.requests[1], Situation(catalog.requests[1].id, 0))])
        assert len(other.slate) == len(catalog)
    assert catalog.pool == 2


def test_bm25_ranks_candidates_as_it_ranks_them_among_all() -> None:
    catalog = offered()
    stack = Stack(catalog, [Node("s", BM25().build(catalog, ToyEnvironment()))])
    request = catalog.requests[0]
    whole = replace(request, candidates=())
    some, every = (stack.run([Call(one, Situation(one.id, 0))])[0].slate for one in (request, whole))
    kept = [one for one in every if one.item_id in request.candidates]
    assert [(one.item_id, one.score) for one in some] == [(one.item_id, one.score) for one in kept]


def test_the_fingerprint_knows_them() -> None:
    assert offered().fingerprint != toy_catalog().fingerprint
    assert replace(offered(), requests=toy_catalog().requests).fingerprint == toy_catalog().fingerprint


def test_candidates_are_items_and_stand_once() -> None:
    catalog = offered()
    strange = Request("r", "x", candidates=("nobody",))
    with pytest.raises(CheckFailed, match="candidates are items of the catalog"):
        check_catalog(replace(catalog, requests=(strange,), judgements={}))
    twice = Request("r", "x", candidates=(catalog.ids[0],) * 2)
    with pytest.raises(CheckFailed, match="are unique"):
        check_catalog(replace(catalog, requests=(twice,), judgements={}))


def test_a_target_has_to_be_offered(tmp_path: Path) -> None:
    folder = write(tmp_path)
    path = tmp_path / "s.yaml"
    path.write_text(
        SCENARIO.format(folder=folder, target="day_pack-0_ITEM1", requests="[day_pack-0, rain_coat-1]")
    )
    scenario = load(path)
    faults = scenario.check_against(SafeGeo(path=folder).load())
    assert [str(fault) for fault in faults] == [
        f"{path}:11:22: evaluate.requests: target 'day_pack-0_ITEM1' is no candidate for request 'rain_coat-1'; "
        "it is one for day_pack-0"
    ]
    path.write_text(SCENARIO.format(folder=folder, target="day_pack-0_ITEM1", requests="[day_pack-0]"))
    assert load(path).check_against(SafeGeo(path=folder).load()) == []


def test_a_run_on_candidates(tmp_path: Path) -> None:
    """Ranks, slots and violations are about a request's own roster."""
    import json

    from testbed import run

    path = tmp_path / "s.yaml"
    text = SCENARIO.format(folder=write(tmp_path), target="day_pack-0_ITEM1", requests="[day_pack-0]")
    path.write_text(text)
    run(load(path), out=tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert sorted(manifest["constraints"]["day_pack-0"]) == ["day_pack-0_ITEM1", "day_pack-0_ITEM2"]
    assert all(slot < 4 for _, _, slot in manifest["splits"]["test"])
    lines = [json.loads(line) for line in (tmp_path / "run" / "trials.jsonl").read_text().splitlines()]
    ranked = [line for line in lines if line["kind"] == "evaluation"]
    assert ranked
    assert all(item.startswith("day_pack-0_") for line in ranked for item in line["ranking"])
    assert all(len(line["ranking"]) == 4 for line in ranked)

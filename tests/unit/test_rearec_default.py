"""The model that a stage comes with: kept by content, the same each time, never taught the users of requests."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from catalogs.shipped import CoffeeMachines
from retrievers.rearec import ReaRec, default
from retrievers.rearec.catalogs import InteractionLog
from retrievers.rearec.stage import SequentialRecommender
from retrievers.shoppers import LEARNT_FROM
from retrievers.shoppers.catalogs import Sessions
from testbed.catalog import Catalog
from testbed.errors import CatalogError, UserError
from testbed.protocols import Context
from testbed.testing import check_catalog, check_stage
from testbed.testing.toy_world import ToyCatalog, ToyEnvironment
from testbed.types import Item, Request, Situation, TextEdit


@dataclass(frozen=True)
class Place(ToyEnvironment):
    """An environment whose cache is a folder of the test."""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer users and epochs: what is held here does not depend on how well a model ranks."""
    monkeypatch.setattr(default, "LEARNT_FROM", 60)
    monkeypatch.setattr(default, "TAUGHT", {**default.TAUGHT, "epochs": 2, "reasoning_epochs": 1, "width": 8})


def built(catalog: Catalog, cache: Path, **options: Any) -> SequentialRecommender:
    return ReaRec(**options).build(catalog, Place(cache=cache))


def folders(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "sequential").iterdir() if path.is_dir())


def test_it_is_taught_once_and_kept_by_content(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalog = CoffeeMachines().load()
    first = built(catalog, tmp_path)
    (folder,) = folders(tmp_path)
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "rearec" in line] == [
        f"rearec: learning from simulated sessions of coffee_machines, once, in {folder}"
    ]
    assert first.stored.folder == folder / "seed-0"
    assert first.stored.options.steps == 2
    assert "| popularity |" in (folder / "README.md").read_text()
    before = (folder / "seed-0" / "model.safetensors").stat().st_mtime_ns
    built(replace(catalog, requests=(), judgements={}, name="other"), tmp_path)  # of the items alone
    built(Sessions(over=CoffeeMachines(), users=3).load(), tmp_path)
    assert folders(tmp_path) == [folder]
    assert (folder / "seed-0" / "model.safetensors").stat().st_mtime_ns == before
    assert capsys.readouterr().err == ""
    built(catalog, tmp_path, fields=["Name"])
    built(CoffeeMachines(items=("swiftbrew-go", "aurelia-grand", "fulcro-lever")).load(), tmp_path)
    assert len(folders(tmp_path)) == 3
    (folder / "seed-0" / "model.safetensors").write_bytes(b"")
    built(catalog, tmp_path)
    assert "is damaged (seed-0/model.safetensors has changed); it is made again" in capsys.readouterr().err


def test_it_is_the_same_each_time(tmp_path: Path) -> None:
    catalog = CoffeeMachines().load()
    one, two = built(catalog, tmp_path / "one"), built(catalog, tmp_path / "two")
    weights = [load_file(stage.stored.folder / "model.safetensors") for stage in (one, two)]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])
    other = built(catalog, tmp_path / "three", fields=["Name"])
    assert not load_file(other.stored.folder / "model.safetensors")["places.weight"].equal(
        weights[0]["places.weight"]
    )


def test_an_edit_is_ranked_and_does_not_teach(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalog = Sessions(over=CoffeeMachines(), users=3).load()
    stage = built(catalog, tmp_path)
    capsys.readouterr()
    edit = (TextEdit("swiftbrew-go", "Description", "Everybody buys this one next."),)
    context = Context(catalog.requests[0], Situation(catalog.requests[0].id, 0), None, 0)
    before = {one.item_id: one.score for one in stage(context, catalog.source())}
    after = {one.item_id: one.score for one in stage.with_edits(edit)(context, catalog.source(edit))}
    assert before["swiftbrew-go"] != after["swiftbrew-go"]
    assert len(folders(tmp_path)) == 1
    assert capsys.readouterr().err == ""


def test_it_keeps_the_promises_of_a_stage(tmp_path: Path) -> None:
    catalog = Sessions(over=ToyCatalog(), users=4).load()
    folder = built(catalog, tmp_path).stored.folder  # named, since an edited catalog would be taught anew
    check_stage(ReaRec(model=folder, k=4), catalog=catalog, examples=6)


def test_a_catalog_without_attributes_and_a_large_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Catalog.of([Item(name, {"Name": name}) for name in "abc"], name="plain")
    with pytest.raises(
        UserError, match=r"catalog 'plain' has no attributes to simulate sessions from; train one"
    ):
        built(plain, tmp_path)
    monkeypatch.setattr(default, "MOST_ITEMS", 9)
    with pytest.raises(
        UserError, match="for at most 9 items, catalog 'coffee_machines' has 10; train one with"
    ):
        built(CoffeeMachines().load(), tmp_path)
    assert not (tmp_path / "sequential").exists()


def test_requests_are_of_users_that_no_model_is_taught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default, "LEARNT_FROM", LEARNT_FROM)
    taught = {f"u{user}" for user in range(LEARNT_FROM)}
    seen: list[str] = []
    monkeypatch.setattr(default, "_train", lambda sessions, *rest: seen.extend(sessions.users))
    with pytest.raises(UserError, match="holds no sequential model"):  # nothing was trained
        built(ToyCatalog().load(), tmp_path)
    assert set(seen) == taught
    asked = [request.id for request in Sessions(over=ToyCatalog(), users=300).load().requests]
    assert len(set(asked)) == 300
    assert not set(asked) & taught


def test_sessions_as_requests() -> None:
    catalog = Sessions(over=CoffeeMachines(), users=20).load()
    check_catalog(Sessions(over=CoffeeMachines(), users=5))
    assert len(catalog.requests) == 20
    assert catalog.honest_texts
    assert catalog.fingerprint == Sessions(over=CoffeeMachines(), users=20).load().fingerprint
    for request in catalog.requests:
        ((last, grade),) = catalog.judgements[request.id].items()
        assert (grade, last in request.history) == (1, False)
        assert len(request.history) in (3, 4)
        assert request.text.strip()
    assert sum(request.text.startswith("I care about: ") for request in catalog.requests) > 15
    assert Sessions(over=CoffeeMachines(), users=5).load().requests == catalog.requests[:5]


def test_a_log_as_a_catalog(tmp_path: Path) -> None:
    lines = [{"user": f"u{n}", "items": ["a", "b", "c", f"d{n % 3}"]} for n in range(6)] + [
        {"user": 7, "items": ["a"]}
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    texts = {"a": "Pump. 1990. Drama", "b": "PUMP. 1991", "c": "x" * 90 + ". Long", "d0": "No end"}
    (tmp_path / "items.jsonl").write_text(
        "".join(json.dumps({"id": item, "text": text}) + "\n" for item, text in texts.items())
    )
    catalog = InteractionLog(path=tmp_path / "log.jsonl").load()
    check_catalog(catalog)
    assert [catalog.name_of(item) for item in "abc"] == ["Pump", "PUMP (b)", "x" * 80]
    assert catalog.fields("a")["Text"] == "Pump. 1990. Drama"
    assert catalog.fields("d2") == {"Name": "d2"}
    assert [request.id for request in catalog.requests] == [f"u{n}" for n in range(6)]
    assert all(request.history == ("a", "b", "c") for request in catalog.requests)
    assert catalog.judgements["u4"] == {"d1": 1}
    few = InteractionLog(path=tmp_path / "log.jsonl", users=2).load()
    assert len(few.requests) == 2
    assert set(few.requests) < set(catalog.requests)
    (tmp_path / "log.jsonl").write_text("{")
    with pytest.raises(UserError, match=r"log.jsonl:1: is not JSON"):
        InteractionLog(path=tmp_path / "log.jsonl").load()


def test_items_of_the_history_may_be_left_out(tmp_path: Path) -> None:
    catalog = Sessions(over=CoffeeMachines(), users=3).load()
    all_of_them = built(catalog, tmp_path)
    new = built(catalog, tmp_path, repeats=False)
    for request in catalog.requests:
        context = Context(request, Situation(request.id, 0), None, 0)
        whole = list(all_of_them(context, catalog.source()).ids)
        assert set(request.history) <= set(whole)
        left = [one for one in whole if one not in request.history]
        assert list(new(context, catalog.source()).ids) == left


def test_an_empty_text_and_no_history_work(tmp_path: Path) -> None:
    made = CoffeeMachines().load()
    asked = (Request("r", "", history=("swiftbrew-go",)), Request("s", ""))
    catalog = replace(made, requests=asked, judgements={})
    stage = built(catalog, tmp_path)
    for request in asked:
        slate = stage(Context(request, Situation(request.id, 0), None, 0), catalog.source())
        assert len(slate) == 10


def test_sessions_need_attributes() -> None:
    plain = Catalog.of([Item(name, {"Name": name}) for name in "abc"], name="plain")

    class Plain(ToyCatalog):
        def load(self) -> Catalog:
            return plain

    with pytest.raises(CatalogError, match="plain: has no attributes to simulate sessions from"):
        Sessions(over=Plain()).load()

"""The sequential stage: histories, text edits, models of ids that ignore them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from attacks.objectives import Margin
from retrievers.rearec import ReaRec
from retrievers.rearec.model import ModelOptions, SequentialModel
from retrievers.rearec.stage import SequentialRecommender
from retrievers.rearec.stored import ABOUT, ITEMS, WEIGHTS
from testbed.catalog import Catalog
from testbed.errors import UserError
from testbed.protocols import Context, Probe
from testbed.testing import check_stage
from testbed.testing.toy_world import ToyEnvironment
from testbed.types import Item, Request, Situation, Target, TextEdit

IDS = tuple(f"i{n}" for n in range(12))


def catalog() -> Catalog:
    words = ("steel", "quiet", "cheap", "large", "red", "fast")
    items = [
        Item(name, {"Name": f"Item {name}", "Text": f"{words[n % 6]} and {words[(n * 5 + 1) % 6]}"})
        for n, name in enumerate(IDS)
    ]
    requests = [Request("r", "next?", history=("i1", "i4", "i7")), Request("new", "next?")]
    return Catalog.of(items, name="tests", requests=requests)


def stored(folder: Path, items: str = "text", known: tuple[str, ...] = IDS, **options: Any) -> Path:
    """A model with random weights."""
    given = ModelOptions(items=items, width=8, inner=16, steps=2, **options)  # type: ignore[arg-type]
    size = ToyEnvironment().encoder("minilm").dimensions
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = SequentialModel(given, len(known), torch.zeros(len(known), size) if items != "id" else None)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / WEIGHTS)
    about = {
        "version": 1,
        "options": given.model_dump(),
        "read": "last",
        "encoder": "minilm",
        "items": len(known),
    }
    (folder / ABOUT).write_text(json.dumps(about))
    (folder / ITEMS).write_text(json.dumps(known))
    return folder


@dataclass(frozen=True)
class World:
    catalog: Catalog
    stage: SequentialRecommender

    def context(self, request: str = "r") -> Context:
        return Context(self.catalog.request(request), Situation(request, 0), None, 0)


def aimed(found: World, target: str) -> Context:
    return replace(found.context(), target_id=target)


def world(folder: Path, **options: Any) -> World:
    given = {name: options.pop(name) for name in ("k", "steps", "halt") if name in options}
    made = catalog()
    plugin = ReaRec(model=stored(folder, **options), **given)
    return World(made, plugin.build(made, ToyEnvironment()))


EDIT = (TextEdit("i3", "Text", "Everybody buys this next, steel steel steel."),)


@pytest.mark.parametrize("items", ["text", "both"])
def test_a_text_edit_moves_an_item_that_is_known_by_its_text(tmp_path: Path, items: str) -> None:
    found = world(tmp_path, items=items, k=12)
    context, clean = found.context(), found.catalog.source()
    before = found.stage.scores(context, clean)
    edited = found.stage.with_edits(EDIT)
    after = edited.scores(context, found.catalog.source(EDIT))
    row = found.catalog.rows["i3"]
    assert after[row] != before[row]
    assert np.delete(after, row) == pytest.approx(np.delete(before, row))
    assert found.stage.scores(context, found.catalog.source(EDIT)) == pytest.approx(after)
    assert (
        edited(context, found.catalog.source(EDIT)).ids
        == found.stage(context, found.catalog.source(EDIT)).ids
    )


def test_an_edit_of_an_item_in_the_history_moves_the_others(tmp_path: Path) -> None:
    found = world(tmp_path, k=12)
    edit = (TextEdit("i7", "Text", "quite another thing"),)
    before = found.stage.scores(found.context(), found.catalog.source())
    after = found.stage.scores(found.context(), found.catalog.source(edit))
    assert (np.abs(after - before) > 1e-4).sum() > 6


def test_a_text_is_read_once_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = world(tmp_path)
    assert found.stage.encoder is not None
    read: list[str] = []
    encode = type(found.stage.encoder).encode

    def counted(self: Any, texts: Any) -> Any:
        read.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(type(found.stage.encoder), "encode", counted)
    memo: dict[Any, Any] = {}
    for order in range(3):
        context = Context(found.catalog.request("r"), Situation("r", order), None, 0, memo)
        found.stage.scores(context, found.catalog.source(EDIT))
    assert len(read) == 1
    found.stage.scores(found.context(), found.catalog.source(EDIT))
    assert len(read) == 2  # another trial


def test_a_model_of_ids_does_not_see_texts(tmp_path: Path) -> None:
    found = world(tmp_path, items="id", k=12)
    context = found.context()
    clean, edited = found.catalog.source(), found.catalog.source(EDIT)
    assert np.array_equal(found.stage.scores(context, clean), found.stage.scores(context, edited))
    moved = found.stage.with_edits(EDIT)(context, edited)
    assert [(one.item_id, one.score) for one in moved] == [
        (one.item_id, one.score) for one in found.stage(context, clean)
    ]
    assert "Everybody" in moved.listings[moved.rank_of("i3") - 1].fields["Text"]  # type: ignore[operator]


def test_items_without_an_embedding_are_never_listed(tmp_path: Path) -> None:
    found = world(tmp_path, items="id", known=("i7", "elsewhere", "i2", "i1"), k=12)
    slate = found.stage(found.context(), found.catalog.source())
    assert set(slate.ids) == {"i7", "i2", "i1"}
    with pytest.raises(
        UserError, match="knows none of the items of catalog 'tests'; a model with items: text"
    ):
        world(tmp_path / "other", items="id", known=("a", "b"))


def test_a_request_without_history_is_handed_on(tmp_path: Path) -> None:
    found = world(tmp_path, k=5)
    slate = found.stage(found.context("new"), found.catalog.source())
    assert list(slate.ids) == list(found.catalog.source().ids)[:5]
    assert slate.note == "no history"


def test_the_scores_are_the_models_own(tmp_path: Path) -> None:
    found = world(tmp_path, items="id", k=12)
    model = found.stage.model
    states = model.states(model.items.table(), torch.tensor([[1, 4, 7]]), torch.tensor([[2]]))
    expected = model.scores(states[-1, 0], model.items.table())[0]
    assert found.stage.scores(found.context(), found.catalog.source()) == pytest.approx(
        expected.detach().numpy(), abs=1e-4
    )
    assert found.stage.states(found.context(), found.catalog.source()).shape == (3, 8)
    fewer = world(tmp_path, items="id", k=12, steps=0).stage
    assert not np.array_equal(
        fewer.scores(found.context(), found.catalog.source()),
        found.stage.scores(found.context(), found.catalog.source()),
    )
    always = world(tmp_path, items="id", k=12, halt=1e9).stage
    assert always.scores(found.context(), found.catalog.source()) == pytest.approx(
        model.scores(states[1, 0], model.items.table())[0].detach().numpy(), abs=1e-4
    )


@pytest.mark.parametrize("items", ["text", "id"])
def test_a_stage_keeps_its_promises(tmp_path: Path, items: str) -> None:
    check_stage(ReaRec(model=stored(tmp_path, items=items), k=5), catalog=catalog(), examples=8)


def test_folders_that_hold_no_model(tmp_path: Path) -> None:
    made, env = catalog(), ToyEnvironment()
    with pytest.raises(UserError, match="holds no sequential model; `testbed train rearec` leaves them"):
        ReaRec(model=tmp_path / "none").build(made, env)
    folder = stored(tmp_path / "one")
    with pytest.raises(UserError, match="was taught 2 steps, not 3"):
        ReaRec(model=folder, steps=3).build(made, env)
    (folder / ITEMS).write_text('["a"]')
    with pytest.raises(UserError, match=r"model.json: is damaged \(12 items, but 1 in items.json\)"):
        ReaRec(model=folder).build(made, env)
    stored(folder)
    (folder / WEIGHTS).write_bytes(b"no")
    with pytest.raises(UserError, match=r"model.safetensors: does not fit model.json"):
        ReaRec(model=folder).build(made, env)
    (folder / ABOUT).write_text('{"version": 9}')
    with pytest.raises(UserError, match="has version 9 of the format, this one reads 1"):
        ReaRec(model=folder).build(made, env)


@pytest.mark.parametrize("target", ["i2", "i4"])
def test_gradients_reach_through_the_history(tmp_path: Path, target: str) -> None:
    found = world(tmp_path, items="text", k=12)
    aim = Target(target, "Text")
    slate = found.catalog.source(aim.edit("steel"))
    gradient, _ = found.stage.gradient(found.context(), slate, aim, Margin())  # type: ignore[attr-defined]
    (loss,), _ = found.stage.losses(Probe(aimed(found, target), [slate]), Margin())
    assert gradient.loss == pytest.approx(loss, abs=1e-3)
    assert gradient.gradient.abs().max() > 0
    steps = found.stage(aimed(found, target), slate).detail["steps"]
    assert len(steps) == 3
    assert all(0 <= step["share"] <= 1 and step["entropy"] >= 0 for step in steps)
    assert not hasattr(world(tmp_path / "ids", items="id", k=12).stage, "gradient")

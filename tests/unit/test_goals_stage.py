"""The planning stage: goals, dialogues, plans, edits, gradients; the observer of goal reach."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from attacks.objectives import FirstItem
from retrievers.goals import Goals, default
from retrievers.goals.model import CurvedHeads
from retrievers.goals.offers import Offers
from retrievers.goals.reach import GoalReach
from retrievers.goals.scoring import Curvature, full_scores, reply_scores
from retrievers.goals.stored import ABOUT, VERSION, WEIGHTS
from testbed.catalog import Catalog
from testbed.errors import UserError
from testbed.protocols import Context
from testbed.testing import ToyEnvironment, check_stage
from testbed.testing.texts import WORDS
from testbed.testing.toy_world import toy_catalog
from testbed.types import Listing, Request, Situation, Slate, Target

TURNS = ("Hello, I need a machine", "Sure, what matters?")
TARGET = Target("grand", "Description")


def catalog() -> Catalog:
    known = toy_catalog()
    goal = "Cheap and quiet: I'll take it"
    asked = [replace(one, dialogue=TURNS, goal=goal if one.id != "camp" else "") for one in known.requests]
    return replace(known, requests=tuple(asked))


def stored(folder: Path, fingerprint: str = "words-0") -> Path:
    """Random heads."""
    heads = CurvedHeads(ToyEnvironment().encoder("minilm").dimensions)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for weight in heads.parameters():
            weight.normal_(std=0.3)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in heads.state_dict().items()}, folder / WEIGHTS)
    about = {
        "version": VERSION, "width": heads.width, "encoder": "minilm", "encoder_fingerprint": fingerprint
    }  # fmt: skip
    (folder / ABOUT).write_text(json.dumps(about))
    return folder


def context(request: str = "cheap", target: str | None = None, known: Catalog | None = None) -> Context:
    return Context((known or catalog()).request(request), Situation(request, 0), target, 0)


@pytest.mark.parametrize("ahead", [1, 2])
def test_a_score_is_that_of_reply_and_history(tmp_path: Path, ahead: int) -> None:
    known, env = catalog(), ToyEnvironment()
    stage = Goals(model=stored(tmp_path), k=6, ahead=ahead, follows=1.5).build(known, env)
    request = known.request("cheap")
    encoder, heads = env.encoder("minilm"), stage.heads
    offers = Curvature.of(encoder.encode([stage.documents.text(row) for row in range(6)]), heads)
    history = Curvature.of(encoder.encode([*TURNS, request.text]), heads)
    goal = Curvature.of(encoder.encode([request.goal]), heads)
    expected = reply_scores(offers, goal, ahead) + 0.5 * full_scores(history, offers.after)
    assert stage.scores(context(), known.source()) == pytest.approx(expected, abs=2e-5)
    assert stage.documents.text(0) == (
        "How about Pico Press? Description: A quiet hand press for one cup. Price: $25."
    )


def test_requests_of_one_trial_do_not_mix(tmp_path: Path) -> None:
    known = catalog()
    stage = Goals(model=stored(tmp_path), k=6).build(known, ToyEnvironment())
    memo: dict[object, object] = {}
    for request in ("cheap", "quiet", "camp", "cheap"):
        alone = stage.scores(context(request), known.source())
        together = stage.scores(replace(context(request), memo=memo), known.source())
        assert together == pytest.approx(alone, abs=0)


def test_without_a_goal_what_follows_counts(tmp_path: Path) -> None:
    known, env = catalog(), ToyEnvironment()
    folder = stored(tmp_path)
    found = Goals(model=folder, k=6).build(known, env)(context("camp"), known.source())
    assert found.note == "no goal"
    assert "plans" not in found.detail
    silent = Context(Request("s", ""), Situation("s", 0), None, 0)
    assert {one.score for one in Goals(model=folder, k=6).build(known, env)(silent, known.source())} == {0.0}


def test_plans_end_at_the_goal(tmp_path: Path) -> None:
    known = catalog()
    stage = Goals(model=stored(tmp_path), k=5, ahead=3, plans=2).build(known, ToyEnvironment())
    found = stage(context(), known.source())
    plans = found.detail["plans"]
    assert [plan["path"][0] for plan in plans] == list(found.ids[:2])
    assert all(plan["path"][-1] == "the goal" and 2 <= len(plan["path"]) <= 4 for plan in plans)
    assert set(plans[0]["path"][:-1]) <= set(found.ids)
    assert json.dumps(found.detail)


def test_an_edit_moves_only_its_listing(tmp_path: Path) -> None:
    known = catalog()
    stage = Goals(model=stored(tmp_path), k=6).build(known, ToyEnvironment())
    before = stage.scores(context(), known.source())
    slate = known.source(TARGET.edit("cheap and quiet, take it"))
    after = stage.scores(context(), slate)
    moved = np.flatnonzero(before != after)
    assert moved.tolist() == [known.rows["grand"]]
    edited = stage.with_edits(TARGET.edit("cheap and quiet, take it"))
    assert edited.scores(context(), slate) == pytest.approx(after, abs=0)
    mixed = Slate(tuple(slate)[::-1])
    assert stage.scores(context(), mixed) == pytest.approx(after[::-1], abs=1e-9)


def test_the_stage_keeps_its_promises(tmp_path: Path) -> None:
    check_stage(Goals(model=stored(tmp_path), k=4), catalog=catalog(), examples=10)


def test_a_gradient_is_the_slope_of_the_score(tmp_path: Path) -> None:
    known, env = catalog(), ToyEnvironment()
    stage = Goals(model=stored(tmp_path), k=6).build(known, env)
    slate, at = known.source(TARGET.edit("steel")), context(target="grand")
    found, _ = stage.gradient(at, slate, TARGET, FirstItem())
    # From one word's meaning to another's, a small step at a time, along the whole way: the slopes add up.
    tokens = env.encoder("minilm").tokens
    (ids,) = tokens.encode([stage.documents.text_of(slate.listings[2].fields)])
    meaning = {word: tokens._table([word])[0] for word in ("steel", "quiet")}  # type: ignore[attr-defined]
    rest = tokens._table([tokens.decode([one]) for one in ids]).sum(0) + 0.01  # type: ignore[attr-defined]
    follows, goal = stage._aims(at)

    def score(share: float) -> float:
        total = rest + share * (meaning["quiet"] - meaning["steel"])
        vector = (total / total.norm()).float()
        own = stage.heads.after(vector) @ torch.from_numpy(follows).float()
        return float(own + stage.heads.before(vector, even=False) @ torch.from_numpy(goal).float())

    promised = (
        found.gradient[0, tokens.pieces.index("quiet")] - found.gradient[0, tokens.pieces.index("steel")]
    )
    assert -float(promised) == pytest.approx((score(0.01) - score(-0.01)) / 0.02, rel=0.02, abs=1e-3)


def test_heads_of_another_encoder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="taught on another 'minilm'"):
        Goals(model=stored(tmp_path, "else")).build(catalog(), ToyEnvironment())


def test_reach_is_the_cosine_of_what_is_said(tmp_path: Path) -> None:
    known, env = catalog(), ToyEnvironment()
    reach = GoalReach(model=stored(tmp_path)).build(known, env)
    encoder, heads = env.encoder("minilm"), reach.heads
    wanted = Curvature.of(encoder.encode(["I'll take the Grand Aroma."]), heads).after[0]

    def said(text: str) -> float:
        return float(Curvature.of(encoder.encode([text]), heads).odd[0] @ wanted)

    listings = [Listing(one, {}) for one in ("pico", "grand")]
    own, other = said("I recommend the Grand Aroma."), said("I recommend the Pico Press.")
    first, second = 1.0, 1 / np.log2(3)
    expected = (first * other + second * own) / (first + second)
    at = context(target="grand")
    assert reach(at, Slate(tuple(listings)))["goal_reach"] == pytest.approx(expected, abs=1e-6)
    scored = tuple(replace(one, score=score) for one, score in zip(listings, (0.0, np.log(3)), strict=True))
    assert reach(at, Slate(scored))["goal_reach"] == pytest.approx(0.25 * other + 0.75 * own, abs=1e-6)
    told = Slate((), detail={"reply": "take the Grand Aroma"})
    assert reach(at, told)["goal_reach"] == pytest.approx(said("take the Grand Aroma"), abs=1e-6)
    assert reach(context(), Slate(scored)) == {}
    assert reach(at, Slate(())) == {}


def test_provenance_has_the_encoder_and_the_heads(tmp_path: Path) -> None:
    env, known, folder = ToyEnvironment(), catalog(), stored(tmp_path)
    Goals(model=folder, k=6).build(known, env)
    before = {name: model.fingerprint for name, model in env.used.items()}
    encoder = env.encoder("minilm").name
    assert set(before) == {encoder, str(folder)}
    weights = folder / WEIGHTS
    save_file({name: value + 1 for name, value in load_file(weights).items()}, weights)
    Goals(model=folder, k=6).build(known, env)
    after = {name: model.fingerprint for name, model in env.used.items()}
    assert after[encoder] == before[encoder]
    assert after[str(folder)] != before[str(folder)]


def test_default_heads_are_taught_once_for_a_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path))
    known, env = toy_catalog(), ToyEnvironment()
    talks = [
        ["Hello", "Hi", f"I want {one} {two}", f"How about {one}?", f"Perfect {two}", "Thanks", "Bye"]
        for one in WORDS
        for two in WORDS
    ]
    monkeypatch.setattr(default, "lessons", lambda documents: talks)
    documents = Offers(known, tuple(known.columns))
    folder = default.default_heads(documents, env)
    heads = Goals(k=3).build(known, env).heads
    assert any(weight.abs().max() > 0 for weight in heads.parameters())

    def no_more(documents: Offers) -> list[list[str]]:
        raise AssertionError("a catalog that is known is not learnt from again")

    monkeypatch.setattr(default, "lessons", no_more)
    assert default.default_heads(documents, env) == folder
    renamed = Offers(replace(known, name="other"), tuple(known.columns))
    with pytest.raises(AssertionError, match="is known"):
        default.default_heads(renamed, env)

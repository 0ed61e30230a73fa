"""Detectors that ask a stage: known answers, masked fields, a second opinion."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plenty import Plenty

from defences.detectors.agreement import Agreement
from defences.detectors.attribution import Attribution
from defences.detectors.judged import Judge
from defences.detectors.known_answer import KNOWN, SUSPECT, KnownAnswer, ahead
from defences.options import as_json
from retrievers.bm25 import BM25
from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.protocols import CatalogPlugin, Context, Detecting, Probe, StagePlugin
from testbed.testing import ToyEnvironment, ToyObjective, ToyRanker, check_stage, toy_catalog
from testbed.types import Listing, Request, Situation, Slate, Target, Usage

TARGET = Target("grand", "Description")


class Asked(CatalogPlugin):
    """Listings with requests, each offered six of them."""

    def load(self) -> Catalog:
        """The same every time."""
        whole = Plenty(count=60).load()
        requests = [
            Request(f"r{at}", f"a cheap machine {at}", candidates=tuple(whole.ids[6 * at : 6 * at + 6]))
            for at in range(10)
        ]
        return replace(whole, requests=tuple(requests))


class Gullible(StagePlugin):
    """Ranks whoever says `hocus` first, others by words shared with the request, then by id."""

    def build(self, catalog: Catalog, env: Environment) -> Any:
        """Nothing to prepare."""
        return ByWords()


@dataclass(frozen=True)
class ByWords:
    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        wanted = set(context.request.text.lower().split())

        def score(listing: Listing) -> float:
            words = " ".join(listing.fields.values()).lower().replace(".", "").split()
            return 100.0 * ("hocus" in words) + len(wanted & set(words))

        ranked = sorted(inputs[0].listings, key=lambda one: (-score(one), one.item_id))
        return Slate(tuple(replace(one, score=score(one)) for one in ranked))

    def losses(self, probe: Probe, objective: Any) -> tuple[np.ndarray, Usage]:
        ranks = [self(probe.context, slate).rank_of("grand") or np.inf for slate in probe.slates]
        return np.array(ranks, dtype=np.float64), Usage()


@pytest.fixture
def env(tmp_path: Path) -> ToyEnvironment:
    return ToyEnvironment(cache=tmp_path)


def context(request: str = "office") -> Context:
    return Context(toy_catalog().request(request), Situation(request, 0), "grand", 0)


def test_a_listing_that_wins_every_question_is_flagged(env: ToyEnvironment) -> None:
    plugin = KnownAnswer(asked=Gullible(), calibration=(Plenty(count=40),), own=False)
    stage = plugin.build(toy_catalog(), env)
    assert isinstance(stage, Detecting)
    fields = toy_catalog().fields("grand")
    quiet, loud = stage.verdicts(
        [Listing("grand", fields), Listing("grand", {**fields, "Description": "hocus"})]
    )
    assert not quiet.flagged
    assert loud.flagged
    assert loud.score > 90
    assert any(loud.note.endswith(f"asked for: I am looking for {wish}.") for *_, wish in KNOWN)


def test_known_answers_are_known() -> None:
    plugin = KnownAnswer(asked=Gullible())
    reader: Any = plugin.reader(toy_catalog(), Environment())
    (said,) = reader([toy_catalog().fields("grand")])
    assert said.score < 0


def test_ahead() -> None:
    scored = Slate((Listing("a", {}, 2.0), Listing(SUSPECT, {}, 0.5)))
    assert ahead(scored, SUSPECT, "a") == -1.5
    bare = Slate((Listing(SUSPECT, {}), Listing("b", {})))
    assert ahead(bare, SUSPECT, "a") == 2.0
    assert ahead(bare, SUSPECT, "b") == 1.0


JUDGES = [
    lambda **options: Attribution(over=Gullible(), calibration=(Asked(),), **options),
    lambda **options: Agreement(over=Gullible(), other=BM25(k=100), calibration=(Asked(),), **options),
]


@pytest.fixture
def honest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Honest scores from 0 to .49: the threshold at 5 % is .475."""
    monkeypatch.setattr(Judge, "_honest", lambda *_: [place / 80 for place in range(40)])


@pytest.mark.usefixtures("honest")
@pytest.mark.parametrize("judge", JUDGES, ids=["attribution", "agreement"])
def test_a_rank_that_one_word_made_is_taken_back(judge: Any, env: ToyEnvironment) -> None:
    catalog = toy_catalog()
    stage = judge().build(catalog, env)
    clean = stage(context("cheap"), catalog.source())
    assert "grand" not in clean.detail.get("flagged", [])
    attacked = catalog.source(TARGET.edit("hocus"))
    assert ByWords()(context("cheap"), attacked).ids[0] == "grand"
    demoted = stage(context("cheap"), attacked)
    assert "grand" in demoted.detail["flagged"]
    assert demoted.ids[-len(demoted.detail["flagged"]) :] == tuple(demoted.detail["flagged"])
    dropped = judge(action="drop").build(catalog, env)(context("cheap"), attacked)
    assert "grand" not in dropped.ids


@pytest.mark.usefixtures("honest")
@pytest.mark.parametrize("judge", JUDGES, ids=["attribution", "agreement"])
def test_what_is_flagged_scores_worse_than_what_is_not(judge: Any, env: ToyEnvironment) -> None:
    catalog = toy_catalog()
    slates = [catalog.source(), catalog.source(TARGET.edit("hocus"))]
    (clean, attacked), _ = judge().build(catalog, env).losses(Probe(context("cheap"), slates), ToyObjective())
    assert clean < 500 < attacked < 1000


def test_too_few_rankings_are_told(env: ToyEnvironment) -> None:
    judge = Attribution(over=Gullible(), calibration=(Asked(),), requests=1, top=1)
    message = (
        "Attribution: 6 ranked honest listings are too few for a false positive rate of 0.05, which needs 19"
    )
    with pytest.warns(UserWarning, match=message):
        stage = judge.build(toy_catalog(), env)
    attacked = toy_catalog().source(TARGET.edit("hocus"))
    assert stage(context(), attacked).ids[0] == "grand"


def test_calibrations_are_kept_by_all_that_they_depend_on(
    env: ToyEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(Judge, "_honest", lambda *_: asked.append(1) or [0.0] * 30)
    for plugin in (
        Attribution(over=ToyRanker(), calibration=(Asked(),)),
        Attribution(over=ToyRanker(), calibration=(Asked(),), fpr=0.1, action="drop"),
        Attribution(over=ToyRanker(k=3), calibration=(Asked(),)),
    ):
        plugin.build(toy_catalog(), env)
    assert len(asked) == 2


def test_options_of_nested_plugins_are_told() -> None:
    found = as_json(Agreement(over=ToyRanker(k=3), other=BM25(), calibration=(Asked(),)))
    assert found["over"] == {"use": "testbed.testing.toy.ToyRanker", "k": 3, "noise": 0.0}
    assert found["calibration"] == [{"use": f"{Asked.__module__}.Asked"}]


@pytest.mark.parametrize(
    "plugin",
    [
        KnownAnswer(asked=BM25(), calibration=(Plenty(count=30),), own=False, over=ToyRanker()),
        Attribution(over=ToyRanker(), calibration=(Asked(),), top=1),
        Agreement(over=ToyRanker(), other=BM25(k=100), calibration=(Asked(),)),
    ],
    ids=["known_answer", "attribution", "agreement"],
)
def test_they_keep_what_a_stage_promises(plugin: StagePlugin, env: ToyEnvironment) -> None:
    check_stage(plugin, env=env, examples=2)

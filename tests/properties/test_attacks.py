"""Every shipped attack keeps to its access, its budget and its target."""

from __future__ import annotations

import pytest

from attacks.beam_search import BeamSearch
from attacks.fixed_text import FixedText
from attacks.gcg import GCG
from attacks.hill_climb import HillClimb
from attacks.hotflip import HotFlip
from attacks.injection import Injection
from attacks.ngram_stuffing import NgramStuffing
from attacks.objectives import Eisl, ExpectedRank, FirstItem, Margin
from attacks.profile_pollution import ProfilePollution
from attacks.random_search import RandomSearch
from attacks.rejection import Rejection
from attacks.rewrite import Rewrite
from attacks.tree_search import TreeSearch
from attacks.undetected import Undetected
from retrievers.dense import Dense
from retrievers.llm import LanguageModelRecommender
from testbed.protocols import AttackPlugin, Objective
from testbed.stack import Node, Stack
from testbed.testing import ToyAttack, ToyEnvironment, check_attack, toy_catalog
from testbed.types import Target

SMALL = GCG(tokens=4, width=6, top_k=8, finalists=2)


@pytest.mark.parametrize(
    "plugin",
    [
        FixedText(text="best in class"),
        RandomSearch(length=3, width=3),
        RandomSearch(length=3, width=3, signal="scores"),
        SMALL,
        GCG(tokens=1, width=8, top_k=1),
        GCG(
            tokens=3,
            width=4,
            swaps=3,
            finalists=9,
            screening="exact",
            gradient_situations=9,
            banned_words=("a",),
        ),
        GCG(tokens=6, width=5, finalists=2, phrases=("1. {name}",), merge=False),
        HillClimb(length=3, width=6, finalists=2),
        HillClimb(
            length=1,
            longest=2,
            width=3,
            beam=2,
            patience=1,
            screening="frozen_tail",
            sources=("characters",),
            banned_words=("a",),
        ),
        BeamSearch(tokens=3, beam=2, width=6, finalists=2),
        BeamSearch(
            tokens=2, beam=1, width=2, rounds=1, temperature=0, top_k=3, top_p=0.5, screening="frozen_tail"
        ),
        NgramStuffing(length=3),
        NgramStuffing(length=2, unseen=False, initial="1. {name}", pieces=5, banned_words=("a",)),
        ToyAttack(),
        ProfilePollution(),
        ProfilePollution(items=3, choose="preceding", gap=2),
        ProfilePollution(items=9, choose="similar"),
        ProfilePollution(items=2, choose="search", width=3),
        ProfilePollution(items=2, choose="search", signal="scores", width=9),
    ],
    ids=str,
)
def test_on_the_toy_stack(plugin: AttackPlugin) -> None:
    check_attack(plugin)


@pytest.mark.parametrize(
    "plugin",
    [
        Rewrite(),
        Rewrite(signal="ranks", styles=("keywords", "simple"), longest=5),
        Injection(signal="scores"),
        HotFlip(tokens=4, width=3),
        HotFlip(tokens=3, width=2, position="best", patience=1, banned_words=("a",)),
        Rejection(tokens=2, width=2),
        Rejection(tokens=2, width=2, keep="best", rounds=2, beta=0.1),
        TreeSearch(tokens=4, branch=2),
        TreeSearch(tokens=2, branch=2, stride=3, choose="best_first", backup="mean"),
        Undetected(over=BeamSearch(tokens=2, beam=1, width=3, finalists=2), nll=4.0),
        Undetected(over=HillClimb(length=3, width=4, finalists=2), odd_words=0.2),
        Undetected(over=RandomSearch(length=2, width=2)),
        Undetected(over=FixedText(text="best in class"), odd_words=0.1),
        Undetected(over=HotFlip(tokens=2, width=2)),
    ],
    ids=lambda plugin: type(plugin).__name__,
)
def test_on_the_toy_stack_more_briefly(plugin: AttackPlugin) -> None:
    check_attack(plugin, examples=6)


OBJECTIVES = [
    FirstItem(),
    Margin(),
    ExpectedRank(),
    Eisl(),
    FirstItem(fluency=0.5),
    Margin(fluency=1),
    Eisl(entries=9, fluency=1),
]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_objectives(objective: Objective) -> None:
    check_attack(SMALL, objective=objective)


SEARCHES = [
    SMALL,
    HillClimb(length=3, width=6, finalists=2),
    BeamSearch(tokens=3, beam=2, width=6, finalists=2),
]


def test_on_a_dense_retriever() -> None:
    catalog = toy_catalog()
    stack = Stack(catalog, [Node("dense", Dense(k=6).build(catalog, ToyEnvironment()))])
    plugin = HotFlip(tokens=2, width=3, initial="steel")
    check_attack(plugin, stack=stack, target=Target("trek", "Description"), steps=2, examples=4)


@pytest.mark.parametrize("reading", ["likelihood", "pointwise"])
@pytest.mark.parametrize("template", ["lines", "json"])
@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: type(search).__name__)
def test_on_a_language_model(reading: str, template: str, search: AttackPlugin) -> None:
    catalog = toy_catalog()
    options = {"reading": reading, "template": template, "system": "Rank.", "opening": "Best:\n1."}
    plugin = LanguageModelRecommender.model_validate(options)
    stack = Stack(catalog, [Node("llm", plugin.build(catalog, ToyEnvironment()))])
    target = Target("trek", "Description")
    check_attack(search, stack=stack, target=target, steps=2, examples=4)


@pytest.mark.parametrize(
    "objective",
    [ExpectedRank(), Eisl(), FirstItem(fluency=0.5), Eisl(entries=9, fluency=1)],
    ids=repr,
)
@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: type(search).__name__)
def test_objectives_on_a_language_model(objective: Objective, search: AttackPlugin) -> None:
    catalog = toy_catalog()
    plugin = LanguageModelRecommender(system="Rank.", opening="Best:\n1.")
    stack = Stack(catalog, [Node("llm", plugin.build(catalog, ToyEnvironment()))])
    target = Target("trek", "Description")
    check_attack(search, stack=stack, target=target, objective=objective, steps=2, examples=4)

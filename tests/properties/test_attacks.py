"""Every shipped attack keeps to its access, its budget and its target."""

from __future__ import annotations

import pytest

from attacks.fixed_text import FixedText
from attacks.gcg import GCG
from attacks.objectives import FirstItem, Margin
from attacks.random_search import RandomSearch
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
        ToyAttack(),
    ],
    ids=str,
)
def test_on_the_toy_stack(plugin: AttackPlugin) -> None:
    check_attack(plugin)


@pytest.mark.parametrize("objective", [FirstItem(), Margin()], ids=["first_item", "margin"])
def test_objectives(objective: Objective) -> None:
    check_attack(SMALL, objective=objective)


@pytest.mark.parametrize("reading", ["likelihood", "pointwise"])
@pytest.mark.parametrize("template", ["lines", "json"])
def test_on_a_language_model(reading: str, template: str) -> None:
    catalog = toy_catalog()
    options = {"reading": reading, "template": template, "system": "Rank.", "opening": "Best:\n1."}
    plugin = LanguageModelRecommender.model_validate(options)
    stack = Stack(catalog, [Node("llm", plugin.build(catalog, ToyEnvironment()))])
    target = Target("trek", "Description")
    check_attack(SMALL, stack=stack, target=target, steps=2, examples=4)

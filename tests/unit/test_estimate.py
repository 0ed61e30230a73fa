"""What a dry run says of tokens, and of stacks that are not the scenario's own."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.estimate import estimate, tokens_of_prompt
from testbed.registry import installed
from testbed.scenario import from_mapping
from testbed.testing import toy_registry

SHIPPED = ("coffee_machines", "headphones", "tents", "hotels", "novels")


@pytest.mark.slow
def test_a_prompt_is_about_as_long_as_is_estimated() -> None:
    from retrievers.llm.options import SYSTEM
    from retrievers.llm.prompt import Renderer, list_messages
    from testbed.environment import Environment
    from testbed.language.chat import as_text
    from testbed.language.tokenizer import load_tokenizer

    tokenizer = load_tokenizer("smollm2-135m", Environment().cache)
    ratios = {}
    for template in ("lines", "json"):
        renderer = Renderer(template, 600, ())
        for name in SHIPPED:
            catalog = installed().get("catalogs", name)().load()  # type: ignore[attr-defined]
            products = renderer.listings(tuple(catalog.source()), catalog.name_field)
            text = as_text(tokenizer, list_messages(SYSTEM, products, catalog.requests[0].text))
            count = len(tokenizer(text)["input_ids"])
            ratios[template, name] = count / tokens_of_prompt(catalog, len(catalog))
    lines, json = ([ratios[template, name] for name in SHIPPED] for template in ("lines", "json"))
    assert min(lines) == pytest.approx(0.95, abs=0.01)  # docs/endpoints.md says these
    assert max(lines) == pytest.approx(1.10, abs=0.01)
    assert min(json) == pytest.approx(1.10, abs=0.02)
    assert max(json) == pytest.approx(1.30, abs=0.02)


SERVED = {"use": "endpoint", "model": "m", "price": {"input": 1.0, "output": 2.0}, "max_new_tokens": 100}


STAGES = ("endpoint", "llm", "bm25", "schema", "vote", "perplexity", "agreement")


def transferred(
    stack: list[dict[str, Any]],
    victims: dict[str, Any] | None,
    sources: list[str] | None = None,
    attack: dict[str, Any] | None = None,
    **threat: Any,
) -> dict[str, Any]:
    """The estimate of two texts under one arm, two orders and one request on a stack and other victims."""
    values: dict[str, Any] = {
        "version": 1,
        "name": "x",
        "catalog": {"use": "toy"},
        "stack": stack,
        "attack": attack or {"use": "toy", "objective": {"use": "toy"}},
        "threat": {"access": "scores", "field": "Description", "budget": {"queries": 30}, **threat},
        "targets": {"items": ["pico", "grand"]},
        "optimise": {"requests": 1, "orders": 1},
        "evaluate": {"requests": 1, "orders": 2, "arms": ["clean", "attack"]},
    }
    if victims is not None:
        values["transfer"] = {"victims": victims, **({"sources": sources} if sources else {})}
    served = toy_registry().extended(stages={name: installed().get("stages", name) for name in STAGES})
    return estimate(from_mapping(values, registry=served))


def test_a_victim_that_is_a_service_is_paid_for() -> None:
    free = transferred([{"use": "toy"}], {"other": {"use": "toy"}})
    assert "money" not in free
    paid = transferred([{"use": "toy"}], {"other": SERVED, "free": {"use": "toy"}})
    assert paid["rankings"] == 3 * 8  # 2 targets, 2 orders, clean and attack
    assert paid["requests"] == 8
    assert paid["input_tokens"] == 8 * paid["tokens_a_prompt"]
    assert paid["output_tokens"] == 8 * 100
    assert paid["money"] == pytest.approx((paid["input_tokens"] + 2 * paid["output_tokens"]) / 1e6)


def test_a_source_that_is_a_service_is_paid_for() -> None:
    scored = {**SERVED, "api": "completions", "reading": "likelihood"}
    found = transferred([{"use": "toy"}], {"other": scored}, ["stack", "other"])
    assert found["attack_queries"] == 2 * 2 * 30
    assert found["requests"] == 2 * 2 * 3 + 2 * 30  # clean and both texts; the searches on it
    here = transferred([scored], {"other": {"use": "toy"}}, ["stack", "other"])
    assert here["attack_queries"] == 2 * 2 * 30
    assert here["requests"] == 2 * 2 * 4 + 2 * 30  # clean, clean_again and both texts; the searches on it


def test_tokens_are_those_of_the_stack_that_reads_them() -> None:
    alone = transferred([{"use": "toy"}], None)
    short = transferred([{"use": "toy"}], {"short": [{"use": "toy", "k": 2}, {"use": "toy", "name": "last"}]})
    assert short["rankings"] == 2 * alone["rankings"]
    assert alone["evaluation_tokens"] < short["evaluation_tokens"] < 2 * alone["evaluation_tokens"]


@pytest.mark.parametrize(
    ("stage", "counts"),
    [
        ({"use": "bm25", "k": 60}, False),
        ({"use": "schema", "over": {"use": "bm25"}}, False),
        ({"use": "vote", "over": {"use": "bm25"}}, False),
        ({"use": "perplexity", "over": {"use": "bm25"}}, True),
        ({"use": "agreement", "over": {"use": "bm25"}, "other": {"use": "llm"}}, True),
        ({"use": "llm"}, True),
    ],
)
def test_a_stack_that_counts_no_tokens_is_estimated_to_take_none(stage: dict[str, Any], counts: bool) -> None:
    found = transferred([stage], None)
    told = [found[key] for key in ("tokens_a_prompt", "evaluation_tokens", "attack_tokens")]
    assert all(told) if counts else told == [0, 0, 0]
    assert found["attack_queries"] > 0


def test_nothing_is_told_of_searches_that_nothing_bounds() -> None:
    found = transferred([{"use": "toy"}], {"other": SERVED}, budget={"seconds": 5})
    assert (found["attack_queries"], found["attack_tokens"]) == (None, None)
    assert found["requests"] == 8  # only the search on the stack has no bound, and it asks no service
    scored = {**SERVED, "api": "completions", "reading": "likelihood"}
    open_end = transferred([{"use": "toy"}], {"other": scored}, ["stack", "other"], budget={"seconds": 5})
    assert (open_end["requests"], open_end["money"]) == (None, None)


def test_a_text_that_asks_nothing_costs_no_queries() -> None:
    stack = [{"use": "toy"}]
    fixed = transferred(stack, None, access="none", attack={"use": "fixed_text", "text": "x"})
    assert transferred(stack, None)["attack_queries"] > 0
    assert (fixed["attack_queries"], fixed["attack_tokens"]) == (0, 0)

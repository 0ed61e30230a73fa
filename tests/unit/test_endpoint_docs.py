"""The pages on served models say what the code does, and their figures can be computed again."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import pytest

from retrievers.endpoint import EndpointRecommender
from testbed.estimate import estimate
from testbed.language.endpoint import Price
from testbed.registry import installed
from testbed.scenario import load

ROOT = Path(__file__).parents[2]
SCALING = (ROOT / "docs" / "scaling.md").read_text()
ENDPOINTS = (ROOT / "docs" / "endpoints.md").read_text()


def test_every_option_is_in_the_table() -> None:
    rows = "\n".join(
        line.partition("|")[2].partition("|")[0] for line in ENDPOINTS.splitlines() if line[:3] == "| `"
    )
    for option in EndpointRecommender.model_fields:
        assert f"`{option}`" in rows, option


def test_the_table_of_money_follows_from_the_tokens() -> None:
    prompt, answer, longest, name = 664, 68, 300, 4.8
    rows = re.findall(
        r"^\| ([\d.]+), ([\d.]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", SCALING, re.MULTILINE
    )
    assert len(rows) == 3
    for row in rows:
        price = Price(input=float(row[0]), output=float(row[1]))
        found = [int(text.replace(",", "")) for text in row[2:]]
        tokens = ((prompt, answer), (prompt, longest), (10 * (prompt + name), 10))
        assert found == [round(1e6 * price.of(*pair)) for pair in tokens]


def test_the_requests_of_the_scenario_are_those_that_are_estimated() -> None:
    found = estimate(load(ROOT / "scenarios" / "endpoint.yaml"))
    assert (found["rankings"], found["attack_queries"], found["requests"]) == (120, 164, 284)
    assert "120 rankings and at most 164 queries, so 284 requests" in SCALING


@pytest.mark.slow
def test_the_tokens_are_those_of_the_packaged_model() -> None:
    from retrievers.llm.options import SYSTEM
    from retrievers.llm.prompt import Renderer, list_messages
    from testbed.environment import Environment
    from testbed.language.chat import as_text
    from testbed.language.tokenizer import load_tokenizer

    tokenizer = load_tokenizer("smollm2-135m", Environment().cache)
    catalog = installed().get("catalogs", "coffee_machines")().load()  # type: ignore[attr-defined]
    renderer = Renderer("lines", 600, ())
    listings = tuple(catalog.source().listings)
    products = renderer.listings(listings, catalog.name_field)
    texts = [as_text(tokenizer, list_messages(SYSTEM, products, one.text)) for one in catalog.requests]
    counts = [len(tokenizer(text)["input_ids"]) for text in texts]
    assert (len(counts), round(statistics.mean(counts)), min(counts), max(counts)) == (24, 664, 658, 673)
    names = [catalog.name_of(item) for item in catalog.ids]
    answer = "\n".join(f"{place}. {name}" for place, name in enumerate(names, start=1))
    assert len(tokenizer(answer)["input_ids"]) == 68
    assert statistics.mean(len(tokenizer(f" {name}\n")["input_ids"]) for name in names) == pytest.approx(4.8)
    each = [len(tokenizer(renderer.listing(one.fields, catalog.name_field))["input_ids"]) for one in listings]
    assert statistics.mean(each) == pytest.approx(58.5)

"""What a dry run says of tokens, and of stacks that are not the scenario's own."""

from __future__ import annotations

import pytest

from testbed.estimate import tokens_of_prompt
from testbed.registry import installed

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

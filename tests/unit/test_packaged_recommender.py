"""The tuned recommender that comes with the testbed: small, of the right base, with a card, and better than chance."""

from __future__ import annotations

import json

import pytest

from retrievers.llm.tuning.catalog import MadeUp
from retrievers.llm.tuning.evaluation import quality_of
from testbed.environment import Environment
from testbed.language.adapter import CONFIG, WEIGHTS
from testbed.language.packaged import PACKAGED

NAME = "smollm2-135m-recommender"


def test_the_adapter_fits_its_base_and_the_package() -> None:
    model = PACKAGED[NAME]
    assert model.adapter is not None
    assert (model.adapter / WEIGHTS).stat().st_size <= 5_000_000
    config = json.loads((model.adapter / CONFIG).read_text("utf-8"))
    assert config["base_model_name_or_path"] == model.tuned == "smollm2-135m"
    assert config["base_fingerprint"] == PACKAGED["smollm2-135m"].sha256[:16]
    card = (model.adapter / "README.md").read_text("utf-8")
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert card.count("| tuned |") == card.count("| untuned |") == 3


@pytest.mark.slow
def test_it_recommends_better_than_the_model_it_was_made_of() -> None:
    catalog = MadeUp(listings=5, pages=8, requests=3).load()
    env = Environment(threads=1)
    tuned, untuned = (
        quality_of(name, catalog, env.language_model(name), 2, "pointwise") for name in (NAME, "smollm2-135m")
    )
    chance = quality_of("random", catalog, None, 20)
    assert tuned.ndcg > chance.ndcg + 0.04
    assert tuned.ndcg > untuned.ndcg
    assert tuned.spread < untuned.spread

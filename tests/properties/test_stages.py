"""Every shipped stage keeps what a stage promises."""

from __future__ import annotations

import pytest

from retrievers.bm25 import BM25
from retrievers.dense import Dense
from retrievers.fuse import Fuse
from retrievers.llm import LanguageModelRecommender
from retrievers.seal import SEAL
from testbed.protocols import StagePlugin
from testbed.testing import ToyEnvironment, ToyObjective, ToyRanker, check_stage

SHORT = {"system": "Rank.", "opening": "Best:\n1.", "max_new_tokens": 8}
"""Short prompts: the tiny model reads every byte."""


class AgainstRivals(ToyObjective):
    """An objective that looks at all listings."""

    rivals = True


@pytest.mark.parametrize(
    "plugin",
    [
        BM25(k=3),
        BM25(k=100, method="robertson", stopwords=False),
        Fuse(),
        Fuse(keep=2),
        ToyRanker(),
        ToyRanker(k=2),
    ],
    ids=str,
)
def test_retrievers(plugin: StagePlugin) -> None:
    check_stage(plugin)


def test_a_ranker_with_noise() -> None:
    check_stage(ToyRanker(noise=2.0))


def test_dense(tmp_path_factory: pytest.TempPathFactory) -> None:
    check_stage(Dense(k=3), env=ToyEnvironment(cache=tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"titles": False, "scoring": "lm", "constrained": False},
        {"scoring": "lm_fm", "groups": 3, "diversity": 1.0, "singles": False},
        {"model": None},
    ],
    ids=str,
)
def test_seal(options: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> None:
    env = ToyEnvironment(cache=tmp_path_factory.mktemp("cache"))
    if (
        options.get("model", "") is None
    ):  # reads the packaged tokenizer, which a cache of its own would make anew
        env = ToyEnvironment()
    check_stage(SEAL.model_validate({"length": 3, "beams": 3, "k": 3, **options}), env=env, examples=8)


@pytest.mark.parametrize(
    ("reading", "template"),
    [
        ("likelihood", "lines"),
        ("likelihood", "json"),
        ("pointwise", "prose"),
        ("constrained", "json"),
        ("generate", "lines"),
    ],
)
def test_language_model_readings(reading: str, template: str) -> None:
    plugin = LanguageModelRecommender.model_validate({**SHORT, "reading": reading, "template": template})
    check_stage(plugin, examples=8)


@pytest.mark.parametrize("prior", ["none", "subtract"])
@pytest.mark.parametrize("reading", ["likelihood", "pointwise"])
def test_objectives_that_look_at_rivals(reading: str, prior: str) -> None:
    plugin = LanguageModelRecommender.model_validate({**SHORT, "reading": reading, "prior": prior})
    check_stage(plugin, objective=AgainstRivals(), examples=6)


@pytest.mark.parametrize("reading", ["constrained", "generate"])
def test_sampling_is_drawn_from_the_seed(reading: str) -> None:
    plugin = LanguageModelRecommender.model_validate({**SHORT, "reading": reading, "temperature": 2.0})
    assert not plugin.deterministic
    check_stage(plugin, examples=5)


@pytest.mark.slow
@pytest.mark.parametrize("reading", ["likelihood", "pointwise", "constrained", "generate"])
@pytest.mark.parametrize("template", ["lines", "json", "prose"])
def test_every_reading_with_every_template(reading: str, template: str) -> None:
    options = {**SHORT, "reading": reading, "template": template, "order": "fixed", "field_limit": 20}
    check_stage(LanguageModelRecommender.model_validate(options), examples=6)


@pytest.mark.parametrize("family", ["qwen2", "gemma3", "gpt2"])
def test_other_families(family: str) -> None:
    check_stage(LanguageModelRecommender.model_validate({**SHORT, "model": family}), examples=4)

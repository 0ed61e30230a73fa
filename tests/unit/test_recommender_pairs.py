"""Teaching the pointwise reading: the same questions as the stage's, the loss by hand, steps by seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from retrievers.llm import LanguageModelRecommender
from retrievers.llm.stage import Recommender
from retrievers.llm.tuning.examples import Format
from retrievers.llm.tuning.options import RecommenderTrainer
from retrievers.llm.tuning.pairs import Lists, judged
from retrievers.llm.tuning.products import one, shop
from retrievers.llm.tuning.wishes import Wish
from retrievers.llm.tuning.world import world
from testbed.catalog import Catalog
from testbed.language import LanguageModel, Prefix, Row
from testbed.protocols import Context
from testbed.testing.tiny import tiny_network, tiny_tokenizer
from testbed.tuning.training import Training
from testbed.types import Item, Request, Situation

OPTIONS = RecommenderTrainer(
    rank=2, alpha=4.0, first_layer=1, steps=3, lists=2, evaluate_every=3, validation_pages=2, warmup=1
)


def fresh() -> LanguageModel:
    return LanguageModel(
        model=tiny_network("llama"), tokenizer=tiny_tokenizer(), name="tiny", fingerprint="tiny"
    )


@pytest.mark.parametrize("template", ["lines", "json", "prose"])
def test_the_questions_are_those_of_the_stage(template: str) -> None:
    known = world()
    rng = np.random.default_rng(4)
    page = shop(known, one(known.categories["train"], rng), 4, "train", rng, "Name")
    items = [Item(f"i{n}", product.fields) for n, product in enumerate(page.products)]
    request = Request("r", "Which one is cheap?")
    catalog = Catalog.of(items, name="page", name_field="Name", requests=[request])
    model = fresh()
    options = LanguageModelRecommender(reading="pointwise", template=template, field_limit=None)
    stage = Recommender(options, catalog, model)
    context = Context(request, Situation("r", 0), None, 0)
    asked = judged(
        model, page, Wish(request.text, np.array([0.0, 1.0, 0.5, 0.2]), "number"), Format(template)
    )
    (prompt,) = stage.prompts([context], [catalog.source()])
    assert [(*asked.trunk, *branch) for branch in asked.branches] == list(prompt.parts)
    task = Lists(model, OPTIONS)
    words = tuple((token,) for token in task.words)
    expected = [
        float(yes.sum() - no.sum())
        for yes, no in model.log_probs(Prefix(), [Row(part, words) for part in prompt.parts])
    ]
    assert task.margins(asked).tolist() == pytest.approx(expected, abs=1e-4)


def test_the_loss_by_hand() -> None:
    task = Lists(fresh(), OPTIONS)
    known = replace(task._kept[0], wanted=np.array([0.75, 0.25] + [0.0] * (len(task._kept[0].branches) - 2)))
    taught = task._taught(known)
    logs = task.margins(known).log_softmax(0)
    assert taught.loss.item() == pytest.approx(float(-0.75 * logs[0] - 0.25 * logs[1]), abs=1e-5)
    assert taught.least == pytest.approx(-0.75 * np.log(0.75) - 0.25 * np.log(0.25))
    assert (taught.count, taught.tokens) == (1, known.size)


def test_requests_depend_on_seed_step_and_place_only() -> None:
    task = Lists(fresh(), OPTIONS)
    once = task.unit(3, 1)
    assert task.unit(3, 1).loss.item() == once.loss.item()
    others = [
        task.unit(3, 0),
        task.unit(4, 1),
        Lists(fresh(), OPTIONS.model_copy(update={"seed": 1})).unit(3, 1),
    ]
    assert all(other.loss.item() != once.loss.item() for other in others)


def test_training_lowers_the_loss_of_what_it_sees(tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"steps": 12, "learning_rate": 0.02, "evaluate_every": 12})

    class Same(Lists):
        def unit(self, step: int, index: int):  # type: ignore[no-untyped-def]
            return super().unit(0, index)

    lines: list[dict[str, float]] = []
    torch.manual_seed(0)
    Training(fresh(), options, tmp_path, lambda model: Same(model, options)).run(lines.append)
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < 0.8 * losses[0]

"""The model card of a trained adapter: data, figures as measured, limits, licence."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from retrievers.llm.tuning.evaluation import Quality
from retrievers.llm.tuning.world import world

if TYPE_CHECKING:
    from retrievers.llm.tuning.options import RecommenderTrainer
    from testbed.tuning.checkpoint import Progress

CARD = """\
---
license: apache-2.0
library_name: peft
base_model: {base}
tags: [lora, recommendation, ranking]
---

# A recommender made of {base}

A LoRA adapter (rank {rank}, layers from {first_layer} on) that makes a language model rank listed products for a
request. Made with

    {command}

and read with `reading: {reading}`. `model: <this folder>` in a scenario loads it.

## Data

Made-up pages only, drawn by the generator in `retrievers/llm/tuning`: no real products, shops, reviews or
requests, and nothing of the catalogs that the testbed measures on. {categories} categories, three templates, many field
names, lists of other lengths than 5, 10 and 20; requests by number, feature, purpose, limit, and combinations of
these. Wished answers follow from the facts. Held out: {held_out} categories ({names}), three kinds of numbers, other
phrasings of every wish, and these list lengths.

## Training

{steps} of {planned} updates of {update}, {tokens:,} tokens through the model,
seed {seed}. {loss} Best validation loss: {best:.3f} nats above the least possible. torch {torch},
transformers {transformers}.

## Figures on held-out pages

Reading `{reading}`, default prompt, {orders} presentation orders. Grades are 0 to 3 by utility; *first*: a best
listing stands on top; *spread*: standard deviation of a listing's rank over the orders.

{table}

## Limits

English, prices in dollars, one author's imagination of shopping. What is asked for must be written in the listing.
Comparing numbers is the weakest part of a small model. It knows nothing beyond these listings. It is a victim for
attack research, not a product.

## Licence

Apache-2.0, as its base model.
"""

LOSSES = {
    "pointwise": "Each listing is judged alone, log p(yes) − log p(no); the loss is the cross-entropy of the "
    "softmax of a page's judgements with the wished distribution.",
    "likelihood": "The loss is the cross-entropy of the answer's first token with the wished distribution, plus "
    "that of one finished name in four.",
}
"""What is minimised, by reading."""


def card(
    options: RecommenderTrainer, progress: Progress, found: Sequence[Quality], orders: int, command: str
) -> str:
    """The card as Markdown."""
    known = world()
    rows = [
        f"| {one.listings} | {one.who} | {one.ndcg:.3f} | {one.first:.3f} | {one.spread:.2f} | {one.requests} |"
        for one in found
    ]
    header = ["| listings | who ranks | nDCG@10 | first | spread | requests |", "|---|---|---|---|---|---|"]
    return CARD.format(
        base=options.model,
        command=command,
        rank=options.rank,
        first_layer=options.first_layer,
        categories=len(known.categories["train"]),
        held_out=len(known.categories["test"]),
        names=", ".join(category.name for category in known.categories["test"]),
        steps=progress.step,
        planned=options.steps,
        reading=options.reading,
        update=f"{options.lists} requests, each with a page of its own"
        if options.reading == "pointwise"
        else f"{options.pages} pages with {options.requests} requests each",
        loss=LOSSES[options.reading],
        tokens=progress.tokens,
        seed=options.seed,
        best=progress.best,
        torch=version("torch"),
        transformers=version("transformers"),
        orders=orders,
        table="\n".join([*header, *rows]),
    )

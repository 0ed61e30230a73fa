"""Figures of a trained recommender on held-out pages, and its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from retrievers.llm.tuning.card import card
from retrievers.llm.tuning.evaluation import LENGTHS, Quality, qualities
from testbed.language import load
from testbed.tuning import checkpoint
from testbed.tuning.processes import progress_bar

if TYPE_CHECKING:
    from retrievers.llm.tuning.options import RecommenderTrainer
    from testbed.environment import Environment
    from testbed.language import LanguageModel

FIGURES, CARD = "figures.json", "README.md"
ORDERS = 3
"""Presentation orders of the figures in the card."""


def describe(options: RecommenderTrainer, folder: Path, env: Environment) -> None:
    """Measure random order, the model as it was and the adapter on held-out pages; write figures and card.

    What has been measured in an earlier call is not measured again.
    """
    place = folder / FIGURES
    known = (
        {tuple(key): value for key, value in json.loads(place.read_text("utf-8"))} if place.is_file() else {}
    )
    state = json.loads((folder / checkpoint.STATE).read_text("utf-8"))["progress"]
    found: list[Quality] = []
    with progress_bar() as bar:
        task = bar.add_task("measuring", total=3 * len(LENGTHS), note="")
        for who, name in (("random", None), ("untuned", options.model), ("tuned", str(folder))):
            model = None
            for length in LENGTHS:
                key = (who, length, state["best"] if who == "tuned" else 0.0)
                bar.update(task, note=f"{who}, {length} listings")
                if key not in known:
                    model = model or (_loaded(name, env) if name else None)
                    (measured,) = qualities(
                        who,
                        model,
                        pages=options.measured_pages,
                        orders=ORDERS,
                        lengths=(length,),
                        reading=options.reading,
                    )
                    known[key] = [measured.ndcg, measured.first, measured.spread, measured.requests]
                    checkpoint.replace_text(
                        place, json.dumps([[list(k), v] for k, v in known.items()]) + "\n"
                    )
                ndcg, first, spread, requests = known[key]
                found.append(Quality(length, who, ndcg, first, spread, int(requests)))
                bar.advance(task)
    progress = checkpoint.Progress(**state)
    changed = options.model_dump(exclude_defaults=True)
    command = " ".join(
        [
            "testbed train recommender --out FOLDER",
            *(f"--set {name}={value}" for name, value in changed.items()),
        ]
    )
    checkpoint.replace_text(folder / CARD, card(options, progress, found, ORDERS, command))


def _loaded(model: str, env: Environment) -> LanguageModel:
    return load(model, device=env.device, dtype=env.dtype, cache=env.cache)

"""The heads of a stage that names none: taught on simulated dialogues, once, and kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from retrievers.embeddings import content_hash
from retrievers.goals.lessons import lessons
from testbed.language.prepared import notice, prepared

if TYPE_CHECKING:
    from retrievers.goals.offers import Offers
    from testbed.environment import Environment

VERSION = 1
"""Rises with every change of the lessons or the training that should not find the heads of before."""
TAUGHT: dict[str, Any] = {
    "batch": 128,
    "weight_decay": 30.0,
    "epochs": 10,
    "patience": 10,
    "deduplicate": False,
}
"""Options of `testbed train goals`."""


def default_heads(documents: Offers, env: Environment, encoder: str = "minilm") -> Path:
    """The folder `seed-0` of the heads for a catalog; trained where the cache has none.

    They follow from the listings and attributes of the catalog, and from nothing that is done to them afterwards.
    """
    catalog = documents.catalog
    facts = [dict(one) for one in catalog.attributes]
    parts = [VERSION, TAUGHT, content_hash(documents, env.encoder(encoder)), catalog.name, facts]
    folder = env.cache / "goals" / hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()

    def build(target: Path) -> None:
        talks = lessons(documents)
        notice(f"goals: learning from {len(talks)} simulated dialogues, once, in {folder}")
        _train(talks, target, env, encoder)

    return prepared(folder, build, what="goals: the default heads", cache=env.cache) / "seed-0"


def _train(talks: list[list[str]], folder: Path, env: Environment, encoder: str) -> None:
    """On one thread, so that the result does not depend on how many there are."""
    from retrievers.goals.tuning.options import GoalsTrainer

    data = folder / "dialogues.jsonl"
    data.write_text("".join(f"{json.dumps({'turns': turns})}\n" for turns in talks), encoding="utf-8")
    threads = torch.get_num_threads()
    try:
        GoalsTrainer(data=data, encoder=encoder, **TAUGHT).train(folder, replace(env, threads=1))
    finally:
        torch.set_num_threads(threads)

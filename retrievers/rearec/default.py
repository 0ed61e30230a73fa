"""The model of a stage that names none: taught on simulated sessions of the catalog at hand, once, and kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from retrievers.rearec.data import Interactions
from retrievers.rearec.sessions import simulated
from retrievers.shoppers import LEARNT_FROM, SEED
from testbed.errors import UserError
from testbed.language.prepared import notice, prepared

if TYPE_CHECKING:
    from retrievers.shown import Documents
    from testbed.environment import Environment

VERSION = 1
"""Rises with every change of the simulation or the training that should not find the models of before."""
MOST_ITEMS = 500
"""Items of a catalog that a default model is taught."""
TAUGHT: dict[str, Any] = {
    "split": "users",
    "items": "text",
    "layers": 1,
    "length": 16,
    "steps": 2,
    "loss": "erl",
    "learning_rate": 3e-3,
    "epochs": 15,
    "reasoning_epochs": 10,
    "patience": 3,
}
"""Options of `testbed train rearec`: SASRec over texts, two reasoning steps."""


def default_model(documents: Documents, env: Environment, encoder: str = "minilm") -> Path:
    """The folder `seed-0` of the model for a catalog with these texts; trained where the cache has none.

    It follows from ids, texts and attributes of the items, and from nothing that is done to them afterwards. UserError
    for a catalog without attributes, since sessions are simulated from them, and for a large one.
    """
    catalog = documents.catalog
    instead = "train one with `testbed train rearec` and name its folder as model"
    if not any(catalog.attributes):
        raise UserError(
            f"stage rearec: catalog {catalog.name!r} has no attributes to simulate sessions from; {instead}"
        )
    if len(catalog) > MOST_ITEMS:
        raise UserError(
            f"stage rearec: sessions are simulated for at most {MOST_ITEMS:,} items, catalog {catalog.name!r} has "
            f"{len(catalog):,}; {instead}"
        )
    folder = env.cache / "sequential" / _digest(documents, env.encoder(encoder).fingerprint)

    def build(target: Path) -> None:
        notice(f"rearec: learning from simulated sessions of {catalog.name}, once, in {folder}")
        texts = [documents.text(row) for row in range(len(documents))]
        _train(simulated(catalog, LEARNT_FROM, SEED, texts=texts), target, env, encoder)

    return prepared(folder, build, what="rearec: the default model", cache=env.cache) / "seed-0"


def _train(sessions: Interactions, folder: Path, env: Environment, encoder: str) -> None:
    """On one thread, so that the result does not depend on how many there are."""
    from retrievers.rearec.tuning.options import RearecTrainer

    write(sessions, folder / "data")
    threads = torch.get_num_threads()
    try:
        options = RearecTrainer(data=folder / "data", encoder=encoder, **TAUGHT)
        options.train(folder, replace(env, threads=1))
    finally:
        torch.set_num_threads(threads)


def write(sessions: Interactions, folder: Path) -> None:
    """Interactions and texts of items as JSON lines, as `testbed train rearec` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    histories = (
        {"user": user, "items": [sessions.items[row] for row in sessions.history(number).tolist()]}
        for number, user in enumerate(sessions.users)
    )
    texts = ({"id": item, "text": text} for item, text in zip(sessions.items, sessions.texts, strict=True))
    for name, lines in (("sessions.jsonl", histories), ("items.jsonl", texts)):
        (folder / name).write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def _digest(documents: Documents, encoder: str) -> str:
    """32 hexadecimal digits that stand for everything that the model depends on."""
    catalog, digest = documents.catalog, hashlib.blake2b(digest_size=16)
    parts = (
        [VERSION, LEARNT_FROM, SEED, TAUGHT, encoder],
        list(catalog.ids),
        [documents.text(row) for row in range(len(documents))],
        [dict(facts) for facts in catalog.attributes],
    )
    for part in parts:
        digest.update(json.dumps(part).encode())
    return digest.hexdigest()

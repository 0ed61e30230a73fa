"""What is measured: retrievers with their options, and fusions of some of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retrievers.bm25 import BM25
from retrievers.dense import Dense
from retrievers.seal import SEAL
from testbed.environment import Environment
from testbed.protocols import StagePlugin

KEPT = 1500
"""Documents that a retriever hands on, to see which it reaches at all."""
BM25_ROW, PLAIN_ROW = "BM25", "no model, chosen"
"""The rows that others are tested against."""
CHOSEN: dict[str, Any] = {"alpha": 3.0, "beta": 0.5, "copying": 0.1}
"""Options of intersective scoring that did best on SciFact's held-out training claims, see docs/seal.md."""
PLAIN_CHOSEN: dict[str, Any] = {"alpha": 4.0}
"""The same without a model."""
WAYS = {"lm": "LM", "lm_fm": "LM+FM", "intersective": "intersective"}


@dataclass(frozen=True)
class Row:
    """A line of the table. `stage` is None for a fusion of the rows named in `parents`."""

    name: str
    stage: StagePlugin | None = None
    model: str = ""
    parents: tuple[str, ...] = ()

    def digest(self) -> str:
        """What the row's rankings depend on, in 12 hexadecimal digits. `model`: fingerprint of its model."""
        options = self.stage.model_dump(mode="json") if self.stage else list(self.parents)
        if isinstance(options, dict) and self.model:
            options["model"] = self.model
        text = json.dumps([type(self.stage).__name__, options], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def rows(
    models: Mapping[str, str], options: Mapping[str, Any], env: Environment, *, dense: bool = True
) -> list[Row]:
    """All rows. `models`: name → what `model` of SEAL is. `options`: further options of every SEAL row."""
    found = [Row(BM25_ROW, BM25(k=KEPT))]
    found += [Row("dense, MiniLM", Dense(k=KEPT))] if dense else []
    for way in ("lm_fm", "intersective"):
        found.append(Row(f"no model, {WAYS[way]}", _seal(None, options, scoring=way)))
    found.append(Row("no model, chosen", _seal(None, options, **PLAIN_CHOSEN)))
    for name, model in models.items():
        fingerprint = env.language_model(model).fingerprint
        for way, title in WAYS.items():
            found.append(Row(f"{name}, {title}", _seal(model, options, scoring=way), fingerprint))
        free = _seal(model, options, scoring="intersective", constrained=False)
        found.append(Row(f"{name}, intersective, unconstrained", free, fingerprint))
        found.append(Row(f"{name}, chosen", _seal(model, options, **CHOSEN), fingerprint))
    best = [f"{name}, chosen" for name in ("no model", *models)]
    found += [Row(f"BM25 + {name}", parents=(BM25_ROW, name)) for name in best]
    found += [Row("BM25 + dense, MiniLM", parents=(BM25_ROW, "dense, MiniLM"))] if dense else []
    return found


def _seal(model: str | None, options: Mapping[str, Any], **own: Any) -> SEAL:
    return SEAL(model=model, k=KEPT, **{**options, **own})

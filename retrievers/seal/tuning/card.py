"""Figures of a trained SEAL model on held-out requests, and its card."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retrievers.seal.tuning.lessons import Lessons
from testbed.language import load
from testbed.tuning import checkpoint

if TYPE_CHECKING:
    from retrievers.seal.tuning.options import SealTrainer
    from testbed.environment import Environment

FIGURES, CARD_FILE = "figures.json", "README.md"
CARD = """\
---
library_name: peft
base_model: {base}
tags: [lora, retrieval, generative-retrieval]
---

# {base}, taught to write n-grams of {catalog}

A LoRA adapter (rank {rank}, layers from {first_layer} on) for SEAL (Bevilacqua et al. 2022). `{{use: seal, model: <this
folder>}}` loads it. Learnt from {train} requests with judgements and from stretches of {documents:,} documents;
{held_out} requests were held out. What the documents' licence asks for holds for this adapter too.

{steps} of {planned} updates, {tokens:,} tokens, seed {seed}; torch {torch}, transformers {transformers}.

| model | nDCG@10 on held-out requests | requests |
|---|---|---|
| untuned | {before:.3f} | {measured} |
| tuned (best adapter, by the first {looked} of them) | {after:.3f} | {measured} |
"""


def describe(options: SealTrainer, folder: Path, env: Environment) -> None:
    """Measure retrieval with and without the adapter; what an earlier call measured is not measured again."""
    state = json.loads((folder / checkpoint.STATE).read_text("utf-8"))["progress"]
    place = folder / FIGURES
    known = json.loads(place.read_text("utf-8")) if place.is_file() else {}
    stamp = f"{state['best']}, {options.measured_requests} requests"
    if known.get("of") == stamp:
        return
    found: dict[str, Any] = {"of": stamp}
    for who, name in (("before", options.model), ("after", str(folder))):
        model = load(name, device=env.device, dtype=env.dtype, cache=env.cache)
        lessons = Lessons(model, options, env)
        asked = lessons.split.held_out[: options.measured_requests]
        found[who] = float(np.mean(lessons.quality(asked)))
    checkpoint.replace_text(place, json.dumps(found, indent=1) + "\n")
    text = CARD.format(
        base=options.model,
        catalog=lessons.catalog.name,
        rank=options.rank,
        first_layer=options.first_layer,
        train=len(lessons.split.train),
        documents=len(lessons.catalog),
        held_out=len(lessons.split.held_out),
        steps=state["step"],
        planned=options.steps,
        tokens=state["tokens"],
        seed=options.seed,
        torch=version("torch"),
        transformers=version("transformers"),
        before=found["before"],
        after=found["after"],
        measured=len(asked),
        looked=options.validation_requests,
    )
    checkpoint.replace_text(folder / CARD_FILE, text)

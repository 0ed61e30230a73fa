"""Training what is not trained, measuring what is not measured; every row of every seed goes to the log at once."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from engine.log import Log

from planning.sets import DISTANCE, PLAIN, Set, cases, digest
from retrievers.goals.data import Dialogues
from retrievers.goals.data.pairs import DISTANCES
from retrievers.goals.evaluation import direction, goal_orders, next_ranks
from retrievers.goals.model import CurvedHeads
from retrievers.goals.scoring import Curvature, mid_rank, reply_scores
from retrievers.goals.tuning.training import Training
from retrievers.goals.vectors import vectors_of
from testbed.environment import Environment
from testbed.language.precision import choose_device

SETTINGS = tuple(product((2, 4), (2, 4), (0, 1, 2, 3)))
"""(history, distance, first) of long-term planning, those of the authors."""


def measure(
    one: Set,
    rows: tuple[str, ...],
    seeds: int,
    changed: Mapping[str, Any],
    folder: Path,
    env: Environment,
    log: Log,
) -> dict[tuple[str, int], str]:
    """(row, seed) → key in the log. Plain cosine is measured once."""
    split = one.split()
    wanted = {
        (row, seed): f"{one.name}/{row}/{digest(one.trainer(row, changed), split, seed)}"
        for row in rows
        for seed in range(1 if row == PLAIN else seeds)
    }
    missing = [pair for pair, key in wanted.items() if key not in log]
    if not missing:
        return wanted
    encoder, device = env.encoder(one.trainer(PLAIN, changed).encoder), choose_device(env.device)
    training, validating = (
        vectors_of(some.texts, encoder, env.cache) for some in (split.training, split.validation)
    )
    tested = split.test or split.validation
    vectors = vectors_of(tested.texts, encoder, env.cache)
    sample = cases(one.sample) if one.sample else []
    said = sorted({text for case in sample for text in (*case.replies, case.goal)})
    spoken = dict(zip(said, vectors_of(said, encoder, env.cache), strict=True))
    for row, seed in missing:
        heads = None
        about: dict[str, Any] = {}
        if row != PLAIN:
            options, place = one.trainer(row, changed), folder / wanted[row, seed].rpartition("/")[2]
            place.mkdir(parents=True, exist_ok=True)
            run = Training(options, split, (training, validating), encoder.fingerprint, place, seed, device)
            lines: list[dict[str, Any]] = []
            run.run(lines.append)
            heads = run.heads
            about = {
                "epochs": run.progress.best_epoch,
                "validation": run.progress.best,
                "curve": lines,
            }
        curvature = Curvature.plain(vectors) if heads is None else Curvature.of(vectors, heads)
        found = _values(tested, curvature) | {"stp": [_stp(case, spoken, heads) for case in sample]}
        log.add(
            wanted[row, seed],
            set=one.name,
            row=row,
            seed=seed,
            training=len(split.training),
            **about,
            **found,
        )
    return wanted


def _values(dialogues: Dialogues, curvature: Curvature) -> dict[str, Any]:
    found: dict[str, Any] = {
        "next": {str(one.history): one.ranks.tolist() for one in next_ranks(dialogues, curvature)},
        "direction": {
            str(distance): direction(dialogues, curvature, int(distance)).tolist() for distance in DISTANCES
        },
    }
    orders = [goal_orders(dialogues, curvature, *setting) for setting in SETTINGS]
    for name in ("chains", "curved_chains", "greedy", "over_reverse"):
        found[name] = np.concatenate([getattr(one, name) for one in orders]).tolist()
    return found


def _stp(case: Any, spoken: Mapping[str, np.ndarray], heads: CurvedHeads | None) -> float:
    """Mid-rank of the true reply among all of a case."""
    vectors = np.stack([spoken[text] for text in (*case.replies, case.goal)])
    with torch.inference_mode():
        curvature = Curvature.plain(vectors) if heads is None else Curvature.of(vectors, heads)
    replies = np.arange(len(case.replies))
    goal = curvature.only(np.array([len(case.replies)]))
    return mid_rank(reply_scores(curvature.only(replies), goal, DISTANCE), 0)

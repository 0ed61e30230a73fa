"""The card of a training: what it learnt from, and how well it does beside plain cosine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from retrievers.goals.data import Split

if TYPE_CHECKING:
    from retrievers.goals.tuning.options import GoalsTrainer


def card(options: GoalsTrainer, split: Split, figures: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Markdown. `figures`: row → one value a measure for each seed."""
    measures = list(next(iter(figures.values()))[0])
    rows = [
        f"| {name} | {' | '.join(_cell([one[measure] for one in found]) for measure in measures)} |"
        for name, found in figures.items()
    ]
    which = "test" if split.test else "validation (there is no test)"
    measured = split.test or split.validation
    given = options.model_dump(exclude_defaults=True, mode="json")
    return "\n".join(
        [
            f"# Goal heads on {options.encoder}, {options.loss}",
            "",
            f"{len(split.training):,} training dialogues ({split.removed:,} removed that overlap with test), "
            f"{len(split.validation):,} for validation, {len(measured):,} measured: {which}. "
            f"Seeds {', '.join(map(str, options.seeds))}.",
            "",
            "Mean ranks of the true next utterance after h turns, among those of all dialogues longer than h, ties "
            "in the middle: less is better. Direction: how often two turns are nearer the right way round.",
            "",
            f"| | {' | '.join(measures)} |",
            f"|---|{'---|' * len(measures)}",
            *rows,
            "",
            "Heads inherit the terms of what they were trained on. Options other than the defaults:",
            "",
            *(
                f"- `{name}: {value}`"
                for name, value in given.items()
                if name not in ("data", "validation", "test")
            ),
            "",
        ]
    )


def _cell(values: Sequence[float]) -> str:
    """Mean, and with several seeds the standard deviation."""
    digits = 3 if max(values) < 2 else 1
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"

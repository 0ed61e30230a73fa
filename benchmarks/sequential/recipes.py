"""What is trained on which data: options that were chosen on validation items, and the variants that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from retrievers.rearec.tuning.options import RearecTrainer
from testbed.errors import UserError

BASE = "base"
NAMES = {
    BASE: "base",
    "more": "base, trained on",
    "layers": "base, K more layers",
    "last": "steps without losses",
    "pause": "pause tokens, PRL's loss",
    "erl": "ERL",
    "prl": "PRL",
}
"""Variant → how tables call it. All but `base` and `layers` begin from the very backbone of `base` of their seed."""
TRAINED = (BASE, "erl", "prl", "last", "pause", "layers", "more")
"""The order in which they are trained, what matters most first."""


@dataclass(frozen=True)
class Recipe:
    """Options of the trainer on one data set. `variants`: what is compared there."""

    options: Mapping[str, Any] = field(default_factory=dict)
    variants: tuple[str, ...] = TRAINED


RECIPES = {
    "ml-100k": Recipe({"patience": 5, "reasoning_epochs": 20}),
    "amazon-video-games": Recipe(
        {
            "items": "both",
            "dropout": 0.3,
            "learning_rate": 0.003,
            "negatives": 256,
            "epochs": 80,
            "reasoning_epochs": 10,
            "reasoning_rate": 0.00012,
            "patience": 3,
            "decays": 2,
        },
        (BASE, "erl", "prl"),
    ),
    "ml-1m": Recipe(
        {
            "width": 128,
            "length": 200,
            "negatives": 512,
            "batch": 8192,
            "precision": "bf16",
            "epochs": 60,
            "decays": 2,
            "validation_users": 2000,
        },
        (BASE,),
    ),
}
"""By the name of the data's folder; other data takes the trainer's defaults."""


@dataclass(frozen=True)
class Plan:
    """What is trained on `data`, in folders below `out`. `given`: options in place of the recipe's. `steps`: K."""

    data: Path
    out: Path
    steps: int = 2
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the data: its folder, or its file without the ending."""
        return self.data.name if self.data.is_dir() else self.data.stem

    @property
    def recipe(self) -> Recipe:
        """Of this data."""
        return RECIPES.get(self.name, Recipe())

    def folder(self, variant: str) -> Path:
        """Where a variant's seeds are."""
        return self.out / self.name / variant

    def trainer(self, variant: str, **others: Any) -> RearecTrainer:
        """The trainer of a variant; UserError for options that it does not take."""
        options = {"data": self.data, **self.recipe.options, **self.given, **others}
        reasons: dict[str, Any] = {"steps": self.steps, "start": self.folder(BASE)}
        if variant == "layers":
            default = RearecTrainer.model_fields["layers"].default
            options["layers"] = options.get("layers", default) + self.steps
        elif variant in ("erl", "prl", "last"):
            options |= {**reasons, "loss": variant}
        elif variant == "pause":
            options |= {**reasons, "loss": "prl", "feedback": "pause"}
        if options.get("loss", "base") == "base":
            options.pop("reasoning_rate", None)  # no part of what a backbone is
        try:
            return RearecTrainer.model_validate(options)
        except ValidationError as fault:
            raise UserError(
                "; ".join(
                    f"option {'.'.join(map(str, one['loc'])) or 'of the trainer'}: {one['msg']}"
                    for one in fault.errors()
                )
            ) from None

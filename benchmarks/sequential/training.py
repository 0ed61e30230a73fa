"""Training of what is not trained yet, and what became of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from retrievers.rearec.data import Split
from retrievers.rearec.stored import ITEMS
from retrievers.rearec.tuning import checkpoint
from retrievers.rearec.tuning.options import RearecTrainer
from retrievers.rearec.tuning.seeds import LOG
from retrievers.rearec.tuning.training import Training
from sequential.recipes import BASE, Plan
from testbed.errors import UserError
from testbed.tuning.checkpoint import replace_text

if TYPE_CHECKING:
    from testbed.environment import Environment

Say = Callable[[str], None]


@dataclass
class Trainer:
    """Trains variants of one data set, a seed at a time; `split` and `vectors` are those of the data."""

    plan: Plan
    split: Split
    env: Environment
    device: torch.device
    say: Say

    def train(self, variant: str, seed: int) -> dict[str, Any]:
        """Train to the end, going on with what is there; what `history` says about it."""
        options = self.plan.trainer(variant)
        place = self.plan.folder(variant) / f"seed-{seed}"
        if variant == "more":
            options = self._longer(options, place, seed)
        run(options, self.split, place, seed, self.device, self.env, self.say)
        return history(place, options)

    def _longer(self, options: RearecTrainer, place: Path, seed: int) -> RearecTrainer:
        """The base as it stood at its end, for as many more epochs as reasoning may take; the best of all counts."""
        whole = self.plan.folder(BASE) / f"seed-{seed}"
        if not place.exists():
            partial = place.with_name(place.name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(whole, partial)
            partial.rename(place)
        epochs = len(lines(whole)) + options.reasoning_epochs
        return options.model_copy(update={"epochs": epochs, "patience": epochs})


def run(
    options: RearecTrainer,
    split: Split,
    place: Path,
    seed: int,
    device: torch.device,
    env: Environment,
    say: Say,
) -> None:
    """One training in a folder that `testbed train rearec` could have left, a line a epoch in its log."""
    from retrievers.rearec.tuning.texts import vectors_of

    place.mkdir(parents=True, exist_ok=True)
    interactions = split.interactions
    vectors = vectors_of(interactions, options.encoder, env) if options.items != "id" else None
    training = Training(options, split, place, seed, vectors, device)
    replace_text(place / ITEMS, json.dumps(interactions.items) + "\n")
    with (place / LOG).open("a", encoding="utf-8") as log:

        def tell(line: dict[str, Any]) -> None:
            log.write(json.dumps(line) + "\n")
            log.flush()
            say(f"{place.parent.name}, {place.name}: {line}")

        training.run(tell)


def history(place: Path, options: RearecTrainer) -> dict[str, Any]:
    """What a training took: `curve` of validation by epoch and phase, `seconds` an epoch, `best`, whether it was `cut`.

    Cut: the last phase ended because its epochs were used up, not because the validation no longer got better.
    """
    found = lines(place)
    measure = options.measure
    last = [line for line in found if line["phase"] == found[-1]["phase"]] if found else []
    curve = [line[measure] for line in last]
    waited = len(curve) - 1 - curve.index(max(curve)) if curve else 0
    return {
        "measure": measure,
        "curve": [[line["phase"], line["epoch"], line[measure], line["seconds"]] for line in found],
        "epochs": len(last),
        "best": max(curve, default=None),
        "cut": waited < options.patience,
        "options": _told(options),
    }


def trained_with(place: Path) -> RearecTrainer:
    """The options of a training, from its checkpoint. UserError where there is none that can be read."""
    try:
        kept = json.loads((place / checkpoint.STATE).read_text("utf-8"))["options"]
        return RearecTrainer.model_validate(kept)
    except (OSError, ValueError, KeyError) as fault:
        raise UserError(f"{place / checkpoint.STATE}: is damaged ({fault})") from fault


def lines(place: Path) -> list[dict[str, Any]]:
    """Epochs of a training; of one that was done twice after an interruption, the later."""
    try:
        text = (place / LOG).read_text("utf-8")
    except FileNotFoundError:
        return []
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # the line that was being written when the training was stopped
            continue
        found[entry["phase"], entry["epoch"]] = entry
    return sorted(found.values(), key=lambda line: (line["phase"] == "reasoning", line["epoch"]))


def _told(options: RearecTrainer) -> Mapping[str, Any]:
    """Options other than the defaults, without paths."""
    told = options.model_dump(mode="json", exclude_defaults=True)
    return {name: value for name, value in told.items() if name not in ("data", "fakes", "start", "seeds")}

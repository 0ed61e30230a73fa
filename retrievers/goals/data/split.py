"""What is trained on, what chooses, what is measured."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrievers.goals.data.dialogues import Dialogues
from retrievers.goals.data.overlap import without_overlap
from retrievers.goals.data.reading import SUFFIXES, read
from testbed.errors import UserError

HELD_OUT = 0.1
"""Of the training dialogues that validate where no file does."""


@dataclass(frozen=True, slots=True)
class Split:
    """Three sets of dialogues. `test` is None where there is none. `removed`: training dialogues that overlapped."""

    training: Dialogues
    validation: Dialogues
    test: Dialogues | None
    removed: int = 0


def split_of(
    data: Path,
    validation: Path | None = None,
    test: Path | None = None,
    *,
    deduplicate: bool = True,
    limit: int | None = None,
) -> Split:
    """Read the sets. `data`: a file, or a folder with one file of `train` in its name and perhaps `valid` and `test`.

    Without validation a tenth of the training dialogues validates, chosen by their content. `deduplicate`: training
    dialogues that share an adjacent pair with test are removed, and validating ones that share one with either.
    `limit`: only so many training dialogues, the first ones.
    """
    if data.is_dir():
        validation = validation or _inside(data, "valid")
        test = test or _inside(data, "test")
        data = _inside(data, "train") or _none(data)
    training = read(data)
    measured = read(test) if test else None
    if validation:
        validating = read(validation)
    else:
        chosen = np.array([_hashed(training, number) < HELD_OUT for number in range(len(training))])
        validating = training.only(np.flatnonzero(chosen))
        training = training.only(np.flatnonzero(~chosen))
    if limit is not None:
        training = training.first(limit)
    before = len(training)
    if deduplicate:
        training = without_overlap(training, measured) if measured else training
        validating = without_overlap(validating, training, *([measured] if measured else []))
    if not len(training) or not len(validating):
        which = "trained on" if not len(training) else "validated on"
        raise UserError(f"{data}: no dialogue is left to be {which}; give more, or deduplicate=false")
    return Split(training, validating, measured, before - len(training))


def _inside(folder: Path, word: str) -> Path | None:
    found = sorted(one for one in folder.iterdir() if word in one.name and one.suffix in SUFFIXES)
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise UserError(f"{folder}: several files are called {word}: {names}; name the files one by one")
    return found[0] if found else None


def _none(folder: Path) -> Path:
    raise UserError(f"{folder}: no *.txt or *.jsonl with `train` in its name; name the files one by one")


def _hashed(dialogues: Dialogues, number: int) -> float:
    """A number in [0, 1) that depends on what is said only."""
    said = "\0".join(dialogues.texts[row] for row in dialogues.turns(number))
    digest = hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64

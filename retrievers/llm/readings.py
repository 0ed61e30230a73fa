"""How a ranking is read off a language model; each reading turns prompts into replies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from testbed.language import LanguageModel
from testbed.types import Status, Usage


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked of the model once.

    `token_ids`: the whole prompt, answer opening included. `names`: the listed names in presentation order,
    `answers`: the tokens that name each. `parts`: one prompt per listing for readings that ask about each alone.
    `neutral`: the same listings under the neutral request, where scores are less theirs.
    """

    token_ids: tuple[int, ...]
    names: tuple[str, ...]
    answers: tuple[tuple[int, ...], ...]
    parts: tuple[tuple[int, ...], ...] = ()
    seed: int = 0
    neutral: Prompt | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A ranking as indices into the prompt's names, best first; left-out names were not ranked.

    `text`: the answer itself, where one was written.
    """

    ranking: tuple[int, ...]
    scores: tuple[float, ...] | None
    status: Status = "ok"
    usage: Usage = Usage()
    note: str = ""
    text: str = ""


class Reading(Protocol):
    """Reads rankings for many prompts at once."""

    def __call__(self, model: LanguageModel, prompts: Sequence[Prompt]) -> list[Reply]: ...


def best_first(scores: Sequence[float]) -> tuple[int, ...]:
    """Indices by falling score; ties keep presentation order."""
    return tuple(sorted(range(len(scores)), key=lambda index: -scores[index]))

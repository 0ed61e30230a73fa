"""Dialogues that are partly in another set: DailyDialog has 93 of its 1,000 test dialogues in training verbatim."""

from __future__ import annotations

from itertools import pairwise

from retrievers.goals.data.dialogues import Dialogues


def without_overlap(dialogues: Dialogues, *others: Dialogues) -> Dialogues:
    """Dialogues that share no adjacent pair of utterances with any of `others`.

    Utterances are the same whatever their case and spaces.
    """
    known = {pair for other in others for dialogue in _pairs(other) for pair in dialogue}
    kept = [number for number, mine in enumerate(_pairs(dialogues)) if not known.intersection(mine)]
    return dialogues.only(kept)


def _pairs(dialogues: Dialogues) -> list[list[tuple[str, str]]]:
    plain = [" ".join(text.casefold().split()) for text in dialogues.texts]
    return [[(plain[one], plain[next_]) for one, next_ in pairwise(turns)] for turns in dialogues]

"""The recommender's answer without the attack, and the target as one of its later entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrievers.llm.prior import forked
from testbed.errors import UserError
from testbed.language import Prefix
from testbed.protocols import Context
from testbed.types import Listing, Slate

if TYPE_CHECKING:
    from retrievers.llm.stage import Recommender


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer that ends in the target's name, the last `length` of its tokens."""

    token_ids: tuple[int, ...]
    length: int


def entries(
    stage: Recommender, context: Context, shown: Slate, place: int, count: int
) -> tuple[tuple[Entry, ...], int]:
    """The target's name behind the first 0, 1, ... entries of the answer to the unedited list; at most `count`.

    Also the tokens that it took to know that answer, once a trial. UserError where the reading has no list.
    """
    if stage.options.reading == "pointwise":
        raise UserError("this objective needs an answer that is a list; reading 'pointwise' has none")
    key = ("entries", id(stage), context.situation, shown.ids, count)
    taken = 0
    if key not in context.memo:
        rivals, taken = _best_rivals(stage, context, shown, place)
        before, name = _texts(stage, rivals[: count - 1], shown, place)
        opening = stage.options.opening
        wholes = stage.model.continuations(opening, [text + name for text in before])
        starts = [(), *stage.model.continuations(opening, before[1:])]
        context.memo[key] = tuple(
            Entry(whole, len(whole) - len(start)) for whole, start in zip(wholes, starts, strict=True)
        )
    made: tuple[Entry, ...] = context.memo[key]
    return made, taken


def _best_rivals(stage: Recommender, context: Context, shown: Slate, place: int) -> tuple[list[str], int]:
    """The other names as the model ranks them when the target's listing is the catalog's, and the tokens it took."""
    item = shown.listings[place]
    clean = Listing(item.item_id, stage.catalog.fields(item.item_id), item.score)
    slate = Slate((*shown.listings[:place], clean, *shown.listings[place + 1 :]))
    (prompt,) = stage.prompts([context], [slate])
    (other,) = stage.neutral_prompts([context], [slate])
    row = forked(prompt, prompt.answers, other)
    (parts,) = stage.model.log_probs(Prefix(), [row])
    count = len(prompt.answers)
    scores = [float(part.sum()) for part in parts[:count]]
    if other is not None:
        scores = [score - float(part.sum()) for score, part in zip(scores, parts[count:], strict=True)]
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    return [prompt.names[index] for index in order if index != place], row.width


def _texts(stage: Recommender, rivals: Sequence[str], shown: Slate, place: int) -> tuple[list[str], str]:
    """What precedes the name as 1st, 2nd, ... entry, and the name with its line's end."""
    opening = stage.options.opening
    space = "" if not opening or opening[-1].isspace() else " "
    mark = "{}." if opening.rstrip().endswith("1.") else "-"
    before = [""]
    for number, rival in enumerate(rivals, start=2):
        before.append(f"{before[-1]}{space}{rival}\n{mark.format(number)}")
    return before, f"{space}{stage.name(shown.listings[place].item_id)}\n"

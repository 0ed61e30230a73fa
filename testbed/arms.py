"""What the arms change: the attack's edits, and controls that match them in length or number."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import TYPE_CHECKING

from testbed.protocols import Tokenized
from testbed.seeds import rng_for
from testbed.types import HistoryEdit

if TYPE_CHECKING:
    from testbed.plan import Arm
    from testbed.records import AttackRecord
    from testbed.stack import Stack
    from testbed.types import Intervention, Target

CHARACTERS = string.ascii_letters + string.digits + " "


def intervention_of(arm: Arm, target: Target, stack: Stack, found: dict[int, AttackRecord]) -> Intervention:
    """All that an arm changes: text in the target's field, items in histories."""
    return (*target.edit(text_of(arm, target, stack, found)), *inserted_by(arm, target, stack, found))


def inserted_by(
    arm: Arm, target: Target, stack: Stack, found: dict[int, AttackRecord]
) -> tuple[HistoryEdit, ...]:
    """Items that an arm puts into histories: the attack's, or as many random ones at the same places.

    Random items differ from each other, while there are enough, and from the target.
    """
    match arm.name:
        case "attack":
            return found[_seed(arm)].history
        case "random_items":
            edits = found[_seed(arm)].history
            others = [item for item in stack.catalog.ids if item != target.item_id]
            if not others:
                return ()
            rng = rng_for("random_items", target.item_id, _seed(arm))
            drawn = rng.choice(len(others), size=len(edits), replace=len(edits) > len(others))
            return tuple(
                HistoryEdit(others[int(place)], edit.age) for place, edit in zip(drawn, edits, strict=True)
            )
        case _:
            return ()


def text_of(arm: Arm, target: Target, stack: Stack, found: dict[int, AttackRecord]) -> str:
    """What an arm writes into the target's field; '' for the clean arms.

    `found`: attack records of this target by seed. Lengths are in the victim's tokens, in characters where no
    stage has a tokenizer. Random text is as long as its seed's attack text, honest text as their mean.
    """
    match arm.name:
        case "attack":
            return found[_seed(arm)].text
        case "random_tokens":
            attack = found[_seed(arm)].text
            return random_text(stack, length(stack, attack), target.item_id, _seed(arm))
        case "honest_text":
            lengths = [length(stack, record.text) for record in found.values()]
            mean = round(sum(lengths) / len(lengths)) if lengths else None
            return cut(stack, stack.catalog.item(target.item_id).honest_text, mean)
        case _:
            return ""


def length(stack: Stack, text: str) -> int:
    """Tokens of a text where it follows other text; characters without a tokenizer."""
    tokenizer = _tokenizer(stack)
    if not text:
        return 0
    return len(tokenizer.encode(" " + text)) if tokenizer else len(text)


def random_text(stack: Stack, size: int, *purpose: object) -> str:
    """Random printable ASCII text of `size` tokens (within a few draws of it; characters without a tokenizer)."""
    rng = rng_for("random_tokens", *purpose)
    tokenizer = _tokenizer(stack)
    if size == 0:
        return ""
    if tokenizer is None:
        return "".join(rng.choice(list(CHARACTERS), size=size)).strip() or "x"
    vocabulary = usable(tokenizer)
    chosen: list[int] = []
    text, reached = "", 0
    for _ in range(50 * size):
        draft = [*chosen, int(rng.choice(vocabulary))]
        candidate = tokenizer.decode(draft).strip()
        have = len(tokenizer.encode(" " + candidate))
        # the blank in front may be a token of its own
        if have == reached + 1 or (not chosen and have <= size):
            chosen, text, reached = draft, candidate, have
        if reached == size:
            break
    return text


def usable(tokenizer: Tokenized) -> list[int]:
    """Token ids that decode to printable ASCII words or parts of words."""
    pieces = getattr(tokenizer, "pieces", None)
    if pieces is None:
        words = " ".join(string.ascii_lowercase).split()
        return sorted({token for word in words for token in tokenizer.encode(" " + word)})
    return [
        token
        for token, piece in enumerate(pieces)
        if piece.strip() and piece.isascii() and piece.isprintable()
    ]


def cut(stack: Stack, text: str, size: int | None) -> str:
    """The longest start of `text` in whole words that is not longer than `size`."""
    if size is None or length(stack, text) <= size:
        return text
    words: Sequence[str] = text.split()
    while words and length(stack, " ".join(words)) > size:
        words = words[:-1]
    return " ".join(words)


def _tokenizer(stack: Stack) -> Tokenized | None:
    return next((node.stage for node in reversed(stack.nodes) if isinstance(node.stage, Tokenized)), None)


def _seed(arm: Arm) -> int:
    if arm.seed is None:
        raise ValueError(f"arm {arm.name} needs an attack seed")
    return arm.seed

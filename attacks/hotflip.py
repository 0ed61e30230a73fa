"""HotFlip: the token flips that the gradient promises most (Ebrahimi et al. 2018, arXiv 1712.06751)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from attacks.words import Banned
from testbed.protocols import Access, AttackPlugin, Step, Surface, TokenGradient, Victim
from testbed.types import Target
from testbed.warm import Initial

if TYPE_CHECKING:
    from attacks.candidates import Candidate

LOOKS = 16
"""Flips looked at, at most, for every one that is tried: many do not survive as text."""


class HotFlip(AttackPlugin):
    """Flip one token a step, the one whose first-order estimate is best among those that hold (Ebrahimi et al. 2018).

    A flip of the token at i from a to b changes the loss by about ∂L/∂x_ib − ∂L/∂x_ia. The `width` best estimates are
    scored in all situations, the best of these is kept if it helps. Against a dense retriever this is corpus
    poisoning (Zhong et al. 2023, arXiv 2310.19156): one listing that lies close to many requests. Any differentiable
    stage will do. Unlike in `gcg` only the position is drawn, and the text never gets worse.
    """

    access: ClassVar[Access] = Access.gradients

    tokens: int = Field(default=20, ge=1, le=500)
    """Length of the text in the victim's tokens."""
    width: int = Field(default=16, ge=1)
    """Flips that are scored a step."""
    position: Literal["best", "random"] = "random"
    """`random`: flips of one position that is drawn, as in corpus poisoning. `best`: those of all positions compete,
    as in HotFlip; where the estimate is poor, the same few positions win again and again."""
    gradient_situations: int = Field(default=4, ge=1)
    """Situations a gradient is averaged over; they take turns."""
    patience: int = Field(default=4, ge=1)
    """Steps in a row without a flip that helps after which it ends, for each token where positions are drawn."""
    initial: Initial = "*"
    """Repeated to fill the length, or a whole text to start from. Where it does not survive in place, neutral
    words are tried in its stead. `{run: PATH}` starts from the text that an earlier run found for the same
    target; `seed: N` beside it says of which attack seed."""
    ascii_only: bool = True
    """Whether the text is ASCII only."""
    banned_words: Banned = ()
    """Words that must not appear in the text, ignoring case."""

    def queries_per_step(self, situations: int) -> int:
        """Gradients, and every flip in every situation."""
        return min(self.gradient_situations, situations) + self.width * situations

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        from attacks.candidates import forbidden
        from attacks.gcg import start
        from attacks.scored import in_turn, scored
        from attacks.warm import initial_text
        from attacks.words import check_start

        target = targets[0]
        surfaces = victim.surfaces()
        masks = {
            name: forbidden(surface.pieces, ascii_only=self.ascii_only, banned=self.banned_words)
            for name, surface in surfaces.items()
        }
        if isinstance(self.initial, str):
            text = start(next(iter(surfaces.values())), self.initial, self.tokens)
        else:
            text = initial_text(self.initial, target, surfaces.values())
        check_start(text, self.ascii_only, self.banned_words)
        (current,) = scored(victim, target, [text])
        tried = {text}
        turn = idle = 0
        while current.reached and idle < self._patience(len(text.split())):
            yield Step(target.edit(current.text), current.mean)
            some = in_turn(victim.situations, current.losses, turn, self.gradient_situations)
            name = list(surfaces)[turn % len(surfaces)]
            gradient = victim.gradients(target.edit(current.text), some, stages=[name]).get(name)
            turn, idle = turn + 1, idle + 1
            if gradient is None:
                continue
            place = int(rng.integers(len(gradient.token_ids))) if self.position == "random" else None
            found = self._flips(gradient, surfaces, name, masks[name], place, tried)
            tried.update(one.text for one in found)
            best = min(
                scored(victim, target, [one.text for one in found]), key=lambda one: one.mean, default=current
            )
            if best.mean < current.mean:
                current, idle = best, 0

    def _patience(self, tokens: int) -> int:
        return self.patience * (max(self.tokens, tokens) if self.position == "random" else 1)

    def _flips(
        self,
        gradient: TokenGradient,
        surfaces: dict[str, Surface],
        name: str,
        mask: np.ndarray,
        place: int | None,
        tried: set[str],
    ) -> list[Candidate]:
        """The `width` flips with the best estimates that survive on all surfaces and were not tried yet."""
        from attacks.candidates import surviving
        from attacks.words import permitted

        found: list[Candidate] = []
        flips = ranked(gradient, mask, place)
        for begin in range(0, min(len(flips), LOOKS * self.width), 2 * self.width):
            drafts = []
            for position, token in flips[begin : begin + 2 * self.width]:
                ids = list(gradient.token_ids)
                ids[position] = token
                drafts.append(tuple(ids))
            kept = [
                one
                for one in surviving(drafts, surfaces[name])
                if one.text not in tried and permitted(one.text, self.ascii_only, self.banned_words)
            ]
            for other, surface in surfaces.items():
                if other != name and kept:
                    there = surface.encode([one.text for one in kept])
                    kept = [one for one, ids_there in zip(kept, there, strict=True) if ids_there is not None]
            found += kept
            if len(found) >= self.width:
                break
        return found[: self.width]


def ranked(
    gradient: TokenGradient, mask: np.ndarray, place: int | None, most: int = 4096
) -> list[tuple[int, int]]:
    """(position, token) flips that the estimate says lower the loss, best first; of one position if it is given."""
    slope = gradient.gradient.double().numpy()
    ids = np.array(gradient.token_ids)
    change = slope - slope[np.arange(len(ids)), ids][:, None]
    change[:, mask] = np.inf
    if place is not None:
        change[np.arange(len(ids)) != place] = np.inf
    flat = change.ravel()
    count = min(most, int((flat < 0).sum()))
    best = np.argpartition(flat, count - 1)[:count] if count else np.zeros(0, dtype=int)
    best = best[np.argsort(flat[best], kind="stable")]
    return [(int(index) // change.shape[1], int(index) % change.shape[1]) for index in best]

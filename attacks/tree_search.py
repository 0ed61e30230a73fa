"""Tree search over the victim's own continuations (UCT, Kocsis & Szepesvári 2006; after TAP, arXiv 2312.02119)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf, log, sqrt
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from attacks.writing import WritingAttack
from testbed.protocols import Step, Victim
from testbed.types import Situation, Target
from testbed.victim.slope import BEST

if TYPE_CHECKING:
    import numpy as np


class TreeSearch(WritingAttack):
    """Grow a tree of texts by the model's own tokens, where it promises most (Kocsis & Szepesvári 2006).

    A node is a text, its children go on with `stride` tokens of the model's own, and its value is the mean objective
    over all situations: a text that is still growing is a text, so no play-out is needed. `uct` walks from the root
    by upper confidence bounds; `best_first` grows the best leaf of all, as tree-of-attacks does (Mehrotra et al.
    2024, arXiv 2312.02119) with a language model's rewrites in place of tokens. A step is one leaf grown.
    """

    choose: Literal["uct", "best_first"] = "uct"
    """Which leaf is grown."""
    branch: int = Field(default=4, ge=1)
    """Children of a node."""
    stride: int = Field(default=2, ge=1)
    """Tokens that a child has more than its parent."""
    explore: float = Field(default=0.3, ge=0)
    """Weight of a node's uncertainty beside its value, which lies between 0 (worst text so far) and 1 (best)."""
    backup: Literal["best", "mean"] = "best"
    """What a node is worth: the best text below it, or the mean of all."""

    def queries_per_step(self, situations: int) -> int:
        """The draws of a leaf and of its children, and every child in every situation."""
        return 1 + self.branch * (self.stride - 1 + situations)

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        from attacks.scored import scored

        target = targets[0]
        stem = self.stem(target, victim)
        (begin,) = scored(victim, target, [stem])
        yield Step(target.edit(stem), begin.mean)
        root = Node(stem, begin.mean)
        root.note(begin.mean)
        turn = 0
        while root.open:
            leaf = self._leaf(root)
            place = victim.situations[turn % len(victim.situations)]
            grown = self._children(leaf.text, target, victim, place, rng)
            found = scored(victim, target, list(grown))
            leaf.children = [Node(one.text, one.mean, leaf, grown[one.text]) for one in found]
            for child in leaf.children:
                child.note(child.loss)
            leaf.settle()
            turn += 1
            if found:
                best = min(found, key=lambda one: one.mean)
                yield Step(target.edit(best.text), best.mean)

    def _children(
        self, text: str, target: Target, victim: Victim, situation: Situation, rng: np.random.Generator
    ) -> dict[str, bool]:
        """Texts that go on from this one, each with whether it may be grown further."""
        (row,) = self.drawn([text], self.branch, target, victim, situation, rng)
        texts = {one.text: one.tokens < self.tokens for one in row}
        for _ in range(self.stride - 1):
            growing = [one for one, more in texts.items() if more]
            longer = self.drawn(growing, 1, target, victim, situation, rng) if growing else []
            ended = {one: False for one, more in texts.items() if not more}
            for one, found in zip(growing, longer, strict=True):
                ended[found[0].text if found else one] = bool(found) and found[0].tokens < self.tokens
            texts = ended
        return texts

    def _leaf(self, root: Node) -> Node:
        """The leaf to grow, one that may be."""
        if self.choose == "best_first":
            return min(
                (node for node in root.below() if node.open and not node.children), key=lambda n: n.loss
            )
        losses = [node.loss for node in root.below() if node.loss < BEST]
        low, high = min(losses, default=0.0), max(losses, default=0.0)
        node = root
        while node.children:
            visits = node.visits
            node = max(
                (child for child in node.children if child.open),
                key=lambda child: self._promise(child, visits, low, high),
            )
        return node

    def _promise(self, node: Node, visits: int, low: float, high: float) -> float:
        """Upper confidence bound of a node's value, scaled to the losses so far."""
        loss = node.best if self.backup == "best" else node.total / node.visits
        value = 0.5 if high == low else min(1.0, max(0.0, (high - loss) / (high - low)))
        return value + self.explore * sqrt(log(visits) / node.visits)


@dataclass(slots=True, eq=False)
class Node:
    """A text with its loss and what is known of the texts that go on from it. `open`: whether some may be grown."""

    text: str
    loss: float
    parent: Node | None = None
    open: bool = True
    children: list[Node] = field(default_factory=list)
    visits: int = 0
    total: float = 0.0
    best: float = inf

    def note(self, loss: float) -> None:
        """Take in a loss here and above."""
        node: Node | None = self
        while node is not None:
            node.visits += 1
            node.total += loss
            node.best = min(node.best, loss)
            node = node.parent

    def settle(self) -> None:
        """Close this node and those above it below which nothing can be grown any more."""
        node: Node | None = self
        while node is not None and not any(child.open for child in node.children):
            node.open = False
            node = node.parent

    def below(self) -> Iterator[Node]:
        """This node and all below it."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += node.children

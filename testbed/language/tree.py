"""Tokens behind a prompt that branch in any way: a trie in which no path goes through a model twice.

For beam search that keeps every prefix it considers (Bevilacqua et al. 2022, arXiv 2204.10628): beams are nodes,
nothing is reordered or copied for a beam, and a second search behind the same prompt finds what the first computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from testbed.language.rows import Tokens


class Store:
    """A tensor that grows along one dimension; room is doubled, so that little is copied."""

    def __init__(self, first: Tensor, dim: int) -> None:
        self.dim, self.length = dim, first.shape[dim]
        self._room = first.clone()

    def append(self, more: Tensor) -> None:
        """Put `more` behind what there is."""
        with torch.inference_mode():  # wherever the room was made
            self._append(more)

    def _append(self, more: Tensor) -> None:
        end = self.length + more.shape[self.dim]
        if end > self._room.shape[self.dim]:
            shape = list(self._room.shape)
            shape[self.dim] = max(end, 2 * self.length, 16)
            room = self._room.new_empty(shape)
            room.narrow(self.dim, 0, self.length).copy_(self._room.narrow(self.dim, 0, self.length))
            self._room = room
        self._room.narrow(self.dim, self.length, more.shape[self.dim]).copy_(more)
        self.length = end

    def pick(self, index: Tensor) -> Tensor:
        """A copy of the slices at `index`; IndexError for one that is not there."""
        return self._room.narrow(self.dim, 0, self.length).index_select(self.dim, index)

    @property
    def device(self) -> torch.device:
        """Where it is kept."""
        return self._room.device

    @property
    def nbytes(self) -> int:
        """Bytes held, room to grow included."""
        return self._room.nbytes


class TokenTree:
    """Nodes behind one prompt, numbered as they came. Node 0, the root, is the prompt's last token.

    A node sees the prompt and its ancestors only. Nodes are never changed or removed. A `TreeModel` starts trees and
    adds to them; everything else only reads. `states`: the model's last hidden state at every node, (nodes, d).
    """

    def __init__(self, model: object, prompt: Tokens, last: int, state: Tensor) -> None:
        self.model, self.prompt = model, tuple(prompt)
        self.tokens, self.parents, self.depth = [last], [-1], [0]
        self.states = Store(state[None], 0)
        self._children: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.tokens)

    def child(self, parent: int, token: int) -> int | None:
        """The node of `token` behind `parent`, or None."""
        return self._children.get((parent, token))

    def find(self, tokens: Iterable[int], parent: int = 0) -> int | None:
        """The node at the end of a path behind `parent`, or None."""
        node: int | None = parent
        for token in tokens:
            if node is None:
                return None
            node = self._children.get((node, token))
        return node

    def line(self, node: int) -> list[int]:
        """The node's ancestors behind the root and the node itself, from above."""
        found = []
        while node > 0:
            found.append(node)
            node = self.parents[node]
        return found[::-1]

    def path(self, node: int) -> tuple[int, ...]:
        """Tokens from behind the prompt to the node; () for the root."""
        return tuple(self.tokens[at] for at in self.line(node))

    def add(self, fresh: Sequence[tuple[int, int]], states: Tensor) -> None:
        """Take in new nodes, as (parent, token), with their hidden states; for models only."""
        self.states.append(states)
        for parent, token in fresh:
            self._children[parent, token] = len(self.tokens)
            self.tokens.append(token)
            self.parents.append(parent)
            self.depth.append(self.depth[parent] + 1)


@dataclass(frozen=True, slots=True)
class Growth:
    """Tokens behind nodes of a tree. Parent `len(tree) + i` stands for the growth's own token number i."""

    tree: TokenTree
    parents: Sequence[int]
    tokens: Tokens

    @classmethod
    def of(cls, tree: TokenTree, paths: Iterable[Tokens], behind: int = 0) -> Growth:
        """Whole paths behind a node, what they share only once. `TokenTree.find` gives their ends afterwards."""
        own: dict[tuple[int, int], int] = {}
        for path in paths:
            node = behind
            for token in path:
                node = own.setdefault((node, token), len(tree) + len(own))
        return cls(tree, [parent for parent, _ in own], [token for _, token in own])


Asked = tuple[TokenTree, Sequence[int]]
"""Nodes of a tree."""


class TreeModel(Protocol):
    """What a search needs of a model, causal or encoder-decoder. Trees belong to the model that started them."""

    @property
    def vocabulary(self) -> int:
        """V: tokens that have a probability."""
        ...

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end a text."""
        ...

    def start(self, prompts: Sequence[Tokens]) -> Sequence[TokenTree]:
        """A tree of one node for every prompt."""
        ...

    def grow(self, growths: Sequence[Growth]) -> list[list[int]]:
        """Add nodes to trees, each tree at most once. Returns the node of every token; those known are free."""
        ...

    def log_probs(self, asked: Sequence[Asked]) -> list[Tensor]:
        """Log-probabilities of all next tokens: per tree (nodes, V) float32 on the CPU."""
        ...

    def token_log_probs(self, growths: Sequence[Growth]) -> list[Tensor]:
        """Log-probability of each token behind its parent, which must be there: per tree (tokens,) float32, CPU."""
        ...


def planned(growth: Growth, vocabulary: int) -> tuple[list[int], list[tuple[int, int]]]:
    """The node of every token once the growth is done, and the new nodes in order, as (parent, token).

    ValueError for a parent that is not there, or not yet, and for a token that the model does not have.
    """
    tree, first = growth.tree, len(growth.tree)
    nodes: list[int] = []
    own: dict[tuple[int, int], int] = {}
    for parent, token in zip(growth.parents, growth.tokens, strict=True):
        if not 0 <= parent < first + len(nodes):
            raise ValueError(f"parent {parent}: there are {first + len(nodes)} nodes at this point")
        if not 0 <= token < vocabulary:
            raise ValueError(f"token {token}: the model has tokens 0 to {vocabulary - 1}")
        key = (int(parent) if parent < first else nodes[parent - first], int(token))
        known = tree.child(*key)
        nodes.append(own.setdefault(key, first + len(own)) if known is None else known)
    return nodes, list(own)


def check_owner(trees: Iterable[TokenTree], model: object) -> None:
    """ValueError for trees of another model."""
    if any(tree.model is not model for tree in trees):
        raise ValueError("a tree belongs to the model that started it")


def check_growths(growths: Sequence[Growth], model: object) -> None:
    """ValueError for trees of another model, and for two growths of one tree."""
    check_owner((growth.tree for growth in growths), model)
    if len({id(growth.tree) for growth in growths}) < len(growths):
        raise ValueError("one growth a tree: parents may be new nodes of the same growth")

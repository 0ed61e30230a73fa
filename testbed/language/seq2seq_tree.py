"""Token trees of an encoder-decoder model: a prompt is encoded once, new nodes run with their whole paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor

from testbed.language import tree_scores
from testbed.language.decoding import end_tokens
from testbed.language.rows import Tokens
from testbed.language.seq2seq import EncoderDecoder
from testbed.language.tree import Asked, Growth, TokenTree, check_growths, check_owner, planned

Fresh = list[tuple[int, int]]


class SourceTree(TokenTree):
    """A tree of decoder tokens; the root is the last that free generation begins behind.

    `encoded`: what the encoder made of the prompt, (S, d).
    """

    def __init__(self, model: EncoderDecoder, prompt: Tokens, state: Tensor, encoded: Tensor) -> None:
        super().__init__(model, prompt, model.context[-1], state)
        self.encoded = encoded

    def rows(self, fresh: Fresh) -> Iterator[tuple[tuple[int, ...], list[int]]]:
        """Paths that hold all new nodes, and the new nodes at their ends."""
        first = len(self)
        inner = {parent for parent, _ in fresh}
        for leaf in range(first, first + len(fresh)):
            if leaf in inner:
                continue
            nodes, tokens, node = [], [], leaf
            while node >= first:
                nodes.append(node)
                node, token = fresh[node - first]
                tokens.append(token)
            yield (*self.path(node), *tokens[::-1]), nodes[::-1]


class SourceTrees:
    """A `TreeModel` of an encoder-decoder model. A prompt is what the encoder reads: `EncoderDecoder.source(text)`."""

    def __init__(self, model: EncoderDecoder) -> None:
        self.model = model
        self.ends = frozenset(end_tokens(model))

    @property
    def vocabulary(self) -> int:
        """V: tokens that the decoder gives a probability."""
        return self.model.vocabulary

    def start(self, prompts: Sequence[Tokens]) -> list[SourceTree]:
        """A tree for each prompt of at least one token. ModelError for one that the encoder cannot take."""
        if not all(len(prompt) for prompt in prompts):
            raise ValueError("a prompt has at least one token")
        return self.model.within_memory(partial(self._start, [tuple(prompt) for prompt in prompts]))

    def grow(self, growths: Sequence[Growth]) -> list[list[int]]:
        """Add nodes; see `TreeModel`. ModelError for a path that the decoder cannot take; nothing is added then."""
        check_growths(growths, self.model)
        plans = [planned(growth, self.vocabulary) for growth in growths]
        trees = [cast(SourceTree, growth.tree) for growth in growths]
        fresh = [(tree, new) for tree, (_, new) in zip(trees, plans, strict=True) if new]
        found = self.model.within_memory(partial(self._states, fresh))
        for (tree, new), states in zip(fresh, found, strict=True):
            tree.add(new, states)
        return [nodes for nodes, _ in plans]

    def log_probs(self, asked: Sequence[Asked]) -> list[Tensor]:
        """Log-probabilities of all next tokens: per tree (nodes, V) float32 on the CPU."""
        check_owner((tree for tree, _ in asked), self.model)
        return tree_scores.log_probs(self.model.logits, asked, self.vocabulary)

    def token_log_probs(self, growths: Sequence[Growth]) -> list[Tensor]:
        """Log-probability of each token behind its parent: per tree (tokens,) float32 on the CPU."""
        check_owner((growth.tree for growth in growths), self.model)
        return tree_scores.token_log_probs(self.model.logits, growths)

    def _start(self, prompts: list[tuple[int, ...]]) -> list[SourceTree]:
        trees: dict[int, SourceTree] = {}
        for some in self._batches([len(prompt) for prompt in prompts]):
            encoded = self.model.encoded([prompts[index] for index in some])
            states = self.model.decoded(encoded, [self.model.context] * len(some))
            for index, own, kept in zip(some, states, encoded, strict=True):
                trees[index] = SourceTree(self.model, prompts[index], own[-1], kept)
        return [trees[index] for index in range(len(prompts))]

    def _states(self, fresh: list[tuple[SourceTree, Fresh]]) -> list[Tensor]:
        """Last states of new nodes, per tree (new nodes, d)."""
        rows = [(at, *row) for at, (tree, new) in enumerate(fresh) for row in tree.rows(new)]
        texts = [(*self.model.context, *path) for _, path, _ in rows]
        widths = [len(fresh[at][0].encoded) + len(text) for (at, _, _), text in zip(rows, texts, strict=True)]
        found: list[dict[int, Tensor]] = [{} for _ in fresh]
        for some in self._batches(widths):
            encoded = [fresh[rows[index][0]][0].encoded for index in some]
            states = self.model.decoded(encoded, [texts[index] for index in some])
            for index, own in zip(some, states, strict=True):
                at, _, nodes = rows[index]
                found[at].update(zip(nodes, own[-len(nodes) :], strict=True))
        return [
            torch.stack([known[len(tree) + number] for number in range(len(new))])
            for (tree, new), known in zip(fresh, found, strict=True)
        ]

    def _batches(self, widths: Sequence[int]) -> Iterator[list[int]]:
        """Indices of rows, widest first, in batches within the token budget (one row at least)."""
        some: list[int] = []
        for index in sorted(range(len(widths)), key=lambda index: -widths[index]):
            if some and widths[some[0]] * (len(some) + 1) > self.model.token_budget:
                yield some
                some = []
            some.append(index)
        if some:
            yield some

"""Token trees of a causal language model: keys and values of all nodes are kept once, masks pick the ancestors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor

from testbed.language import tree_scores
from testbed.language.attention import Part
from testbed.language.batch import Batch, packed
from testbed.language.decoding import end_tokens
from testbed.language.model import LanguageModel
from testbed.language.rows import Prefix, Row, Tokens, common_prefix
from testbed.language.sharing import WORTH, shared_length
from testbed.language.tree import Asked, Growth, Store, TokenTree, check_growths, check_owner, planned

SPAN = 256
"""New nodes of one tree in a pass: each attends to all others of the pass, masked or not."""

Layers = tuple[tuple[Tensor, Tensor], ...]
Fresh = list[tuple[int, int]]


class CausalTree(TokenTree):
    """A tree with keys and values: `prefix` holds the prompt, root included, `layers` the other nodes."""

    def __init__(self, model: LanguageModel, prefix: Prefix, state: Tensor) -> None:
        super().__init__(model, prefix.token_ids, prefix.token_ids[-1], state)
        self.prefix = prefix
        self.layers = tuple(
            (Store(keys[:, :, :0], 2), Store(values[:, :, :0], 2)) for keys, values in prefix.layers
        )

    @property
    def nbytes(self) -> int:
        """Bytes that the nodes take, and the prompt."""
        kept = [store for layer in self.layers for store in layer]
        prompt = sum(part.nbytes for layer in self.prefix.layers for part in layer)
        return prompt + sum(store.nbytes for store in [self.states, *kept])

    def take(self, fresh: Fresh, states: Tensor, layers: Layers) -> None:
        """Add nodes that have gone through the model."""
        for kept, new in zip(self.layers, layers, strict=True):
            for store, part in zip(kept, new, strict=True):
                store.append(part)
        self.add(fresh, states)

    def part(self, fresh: Fresh, begin: int) -> TreePart:
        """New nodes as a part of a pass that begins at token `begin`."""
        first, device = len(self), self.states.device
        lines = {parent: self.line(parent) for parent, _ in fresh if parent < first}
        needed = sorted({node for line in lines.values() for node in line})
        column = {node: at for at, node in enumerate(needed)}
        mask = torch.zeros(len(fresh), len(needed) + len(fresh), dtype=torch.bool)
        for row, (parent, _) in enumerate(fresh):
            if parent < first:
                mask[row, [column[node] for node in lines[parent]]] = True
            else:
                mask[row] = mask[parent - first]
            mask[row, len(needed) + row] = True
        picked = torch.tensor(needed, dtype=torch.long, device=device) - 1  # the root is in the prefix
        return TreePart(
            begin,
            1,
            len(fresh),
            len(self.prefix),
            self.prefix.layers,
            mask[None].to(device),
            self.layers,
            picked,
        )

    def positions(self, fresh: Fresh) -> list[int]:
        """Places of new nodes in the text, from 0."""
        found: list[int] = []
        for parent, _ in fresh:
            above = (
                self.depth[parent] + len(self.prompt) - 1 if parent < len(self) else found[parent - len(self)]
            )
            found.append(above + 1)
        return found


@dataclass(frozen=True, slots=True)
class TreePart(Part):
    """New nodes of a tree, behind the prompt that all see and those ancestors that some of them see."""

    nodes: tuple[tuple[Store, Store], ...]
    picked: Tensor
    """(M,) the ancestors' places in `nodes`."""

    def near(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values that the mask is about: the ancestors', then the nodes' own."""
        if not len(self.picked):
            return keys, values
        first, second = (store.pick(self.picked) for store in self.nodes[layer])
        return torch.cat([first, keys], 2), torch.cat([second, values], 2)


class CausalTrees:
    """A `TreeModel` of a causal language model. All trees of a call go through the model together."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.ends = frozenset(end_tokens(model))

    @property
    def vocabulary(self) -> int:
        """V: rows of the embedding matrix, which may be more than the tokenizer has tokens."""
        return self.model.embeddings.shape[0]

    def start(self, prompts: Sequence[Tokens], base: Prefix | None = None) -> list[CausalTree]:
        """A tree for each prompt of at least one token. What all begin with, or `base` holds, is computed once."""
        if not all(len(prompt) for prompt in prompts):
            raise ValueError("a prompt has at least one token")
        texts = [tuple(prompt) for prompt in prompts]
        return self.model.within_memory(partial(self._start, texts, base or Prefix()))

    def grow(self, growths: Sequence[Growth]) -> list[list[int]]:
        """Add nodes, in as few passes as the token budget allows; see `TreeModel`.

        ModelError beyond the model's window; what went through the model before it stays in the trees.
        """
        check_growths(growths, self.model)
        plans = [planned(growth, self.vocabulary) for growth in growths]
        waiting = [
            (cast(CausalTree, growth.tree), fresh) for growth, (_, fresh) in zip(growths, plans, strict=True)
        ]
        while any(fresh for _, fresh in waiting):
            waiting = self.model.within_memory(partial(self._grow, waiting))
        return [nodes for nodes, _ in plans]

    def log_probs(self, asked: Sequence[Asked]) -> list[Tensor]:
        """Log-probabilities of all next tokens: per tree (nodes, V) float32 on the CPU."""
        check_owner((tree for tree, _ in asked), self.model)
        return tree_scores.log_probs(self.model.logits, asked, self.vocabulary)

    def token_log_probs(self, growths: Sequence[Growth]) -> list[Tensor]:
        """Log-probability of each token behind its parent: per tree (tokens,) float32 on the CPU."""
        check_owner((growth.tree for growth in growths), self.model)
        return tree_scores.token_log_probs(self.model.logits, growths)

    def _start(self, prompts: list[tuple[int, ...]], base: Prefix) -> list[CausalTree]:
        if len(prompts) > 1:
            shared = prompts[0][: shared_length(prompts)]
            if len(shared) - common_prefix(base.token_ids, shared) >= WORTH:
                base = self.model.prefix(shared, base)
        bases = [base.truncated(min(common_prefix(base.token_ids, ids), len(ids) - 1)) for ids in prompts]
        tails = [(known, [Row(ids[len(known) :], ())]) for known, ids in zip(bases, prompts, strict=True)]
        trees: list[CausalTree] = []
        for chosen in packed(tails, self.model.token_budget):
            batch = Batch.of([block for _, _, block in chosen], self.model.device)
            states, captured = self._run(batch)
            for (number, _, _), part in zip(chosen, batch.parts, strict=True):
                own = _slices(captured, part)
                known = bases[number].layers or _slices(captured, part, 0)
                layers = tuple(
                    (torch.cat([before[0], behind[0]], 2), torch.cat([before[1], behind[1]], 2))
                    for before, behind in zip(known, own, strict=True)
                )
                last = states[part.begin + part.width - 1]
                trees.append(CausalTree(self.model, Prefix(prompts[number], layers), last))
        return trees

    def _grow(self, waiting: list[tuple[CausalTree, Fresh]]) -> list[tuple[CausalTree, Fresh]]:
        """One pass; what is left for the next."""
        left = self.model.token_budget
        chosen: list[tuple[CausalTree, Fresh]] = []
        parts: list[TreePart] = []
        for tree, fresh in waiting:
            if some := fresh[: min(left, SPAN)]:
                parts.append(tree.part(some, self.model.token_budget - left))
                chosen.append((tree, some))
                left -= len(some)
        tokens = torch.tensor([[token for _, some in chosen for _, token in some]])
        positions = torch.tensor([[place for tree, some in chosen for place in tree.positions(some)]])
        none = torch.zeros(0, dtype=torch.long)
        device, last = self.model.device, int(positions.max())
        batch = Batch(tokens.to(device), positions.to(device), tuple(parts), none, none, last)
        states, captured = self._run(batch)
        done = {id(tree): len(some) for tree, some in chosen}
        for (tree, some), part in zip(chosen, parts, strict=True):
            tree.take(some, states[part.begin : part.begin + part.width], _slices(captured, part))
        return [(tree, fresh[done.get(id(tree), 0) :]) for tree, fresh in waiting]

    def _run(self, batch: Batch) -> tuple[Tensor, Layers]:
        captured: list[tuple[Tensor, Tensor]] = []
        with torch.inference_mode():
            return self.model.hidden(batch, captured=captured), tuple(captured)


def _slices(captured: Layers, part: Part, width: int | None = None) -> Layers:
    """A part's own keys and values, or the first `width` of them."""
    span = slice(part.begin, part.begin + (part.width if width is None else width))
    return tuple((keys[:, :, span], values[:, :, span]) for keys, values in captured)

"""Token trees: at every node what a plain forward pass over the prompt and the node's path gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from testbed.errors import ModelError
from testbed.language import LanguageModel, Prefix, attention, causal_tree, tree_scores
from testbed.language.causal_tree import CausalTree, CausalTrees
from testbed.language.decoding import end_tokens
from testbed.language.tree import Growth, TokenTree, TreeModel
from testbed.testing import tiny_language_model, tiny_tokenizer
from testbed.testing.tiny import FAMILIES, tiny_network

CLOSE = {"rtol": 1e-5, "atol": 1e-4}
NETWORKS = {family: tiny_network(family) for family in FAMILIES}
PATHS = ((5,), (5, 6), (5, 6, 7), (5, 9, 7), (8, 6), (8, 6, 6, 6), (4,))
"""A trie of ten nodes."""


def some_tokens(count: int, seed: int = 0) -> tuple[int, ...]:
    return tuple(int(token) for token in np.random.default_rng(seed).integers(3, 370, count))


def model_of(family: str = "llama", **options: Any) -> LanguageModel:
    return LanguageModel(
        model=tiny_network(family), tokenizer=tiny_tokenizer(), name="x", fingerprint="x", **options
    )


def plain(family: str, tokens: Sequence[int]) -> Tensor:
    """Log-probabilities behind some tokens by one forward pass of the untouched network."""
    with torch.no_grad():
        return NETWORKS[family](torch.tensor([list(tokens)])).logits[0, -1].float().log_softmax(-1)


def check(trees: TreeModel, tree: TokenTree, family: str = "llama") -> None:
    """All nodes of a tree, path by path."""
    (found,) = trees.log_probs([(tree, range(len(tree)))])
    assert found.dtype == torch.float32
    assert found.shape == (len(tree), trees.vocabulary)
    for node, row in enumerate(found):
        torch.testing.assert_close(row, plain(family, (*tree.prompt, *tree.path(node))), **CLOSE)


def prompts_of(kind: str) -> list[tuple[int, ...]]:
    stem = {"alike": 50, "akin": 5, "apart": 0}[kind]
    return [(*some_tokens(stem), *some_tokens(length, length)) for length in (1, 9, 3, 20)]


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("kind", ["alike", "akin", "apart"])
@pytest.mark.parametrize("family", FAMILIES)
def test_nodes_equal_a_plain_pass(family: str, kind: str, merge: bool) -> None:
    """Prompts of several lengths in one pass, among them one of a single token, grown twice."""
    trees = CausalTrees(model_of(family, merge=merge))
    started = trees.start(prompts_of(kind))
    for grown in (PATHS[:4], PATHS):
        trees.grow([Growth.of(tree, grown) for tree in started])
    for tree, prompt in zip(started, prompts_of(kind), strict=True):
        assert tree.prompt == prompt
        assert len(tree) == 11
        check(trees, tree, family)


steps = st.lists(st.tuples(st.integers(0, 10**6), st.integers(3, 12)), max_size=12)


@given(st.lists(st.tuples(st.integers(1, 40), st.lists(steps, max_size=3)), min_size=1, max_size=3))
@settings(max_examples=25)
def test_trees_of_any_shape(drawn: list[tuple[int, list[list[tuple[int, int]]]]]) -> None:
    """Grown in rounds, with parents of the same round, and with children that are there already."""
    trees = CausalTrees(tiny_language_model())
    started = trees.start([some_tokens(length, 3) for length, _ in drawn])
    for turn in range(3):
        growths, expected = [], []
        for tree, (_, rounds) in zip(started, drawn, strict=True):
            now = rounds[turn] if turn < len(rounds) else []
            parents = [number % (len(tree) + at) for at, (number, _) in enumerate(now)]
            growths.append(Growth(tree, parents, [token for _, token in now]))
            paths: list[tuple[int, ...]] = []
            for parent, (_, token) in zip(parents, now, strict=True):
                before = tree.path(parent) if parent < len(tree) else paths[parent - len(tree)]
                paths.append((*before, token))
            expected.append(paths)
        for tree, nodes, paths in zip(started, trees.grow(growths), expected, strict=True):
            assert [tree.path(node) for node in nodes] == paths
            assert [tree.find(path) for path in paths] == nodes
    for tree in started:
        assert len({tree.path(node) for node in range(len(tree))}) == len(tree)
        check(trees, tree)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_call_equals_step_by_step(family: str) -> None:
    trees = CausalTrees(tiny_language_model(family))
    one, other = trees.start([some_tokens(12)] * 2)
    trees.grow([Growth.of(one, PATHS)])
    for path in PATHS:
        for length in range(len(path)):
            parent = other.find(path[:length])
            assert parent is not None
            ((node,),) = trees.grow([Growth(other, [parent], [path[length]])])
            assert other.path(node) == path[: length + 1]
    for path in PATHS:
        found = [
            trees.log_probs([(tree, [node])])[0]
            for tree, node in ((one, one.find(path)), (other, other.find(path)))
            if node is not None
        ]
        torch.testing.assert_close(found[0], found[1], **CLOSE)


@pytest.mark.parametrize("budget", [1, 7, 64])
def test_batches_over_the_token_budget(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries are cut between passes, and no pass is larger than allowed."""
    trees = CausalTrees(model_of(token_budget=budget))
    sizes: list[int] = []
    hidden = trees.model.hidden

    def counted(batch: Any, **options: Any) -> Tensor:
        sizes.append(batch.tokens.shape[1])
        return hidden(batch, **options)

    monkeypatch.setattr(trees.model, "hidden", counted)
    started = trees.start(prompts_of("akin"))
    sizes.clear()
    trees.grow([Growth.of(tree, PATHS) for tree in started])
    assert sizes == [budget] * (40 // budget) + [40 % budget] * (40 % budget > 0)
    for tree in started:
        check(trees, tree)


def test_a_large_trie_goes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causal_tree, "SPAN", 3)
    monkeypatch.setattr(tree_scores, "ROWS", 4)
    trees = CausalTrees(tiny_language_model())
    started = trees.start(prompts_of("apart"))
    trees.grow([Growth.of(tree, PATHS[: 2 + 2 * at]) for at, tree in enumerate(started)])
    for tree in started:
        check(trees, tree)


def calls(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of every pass from now on."""
    sizes: list[int] = []
    hidden = model.hidden
    monkeypatch.setattr(
        model,
        "hidden",
        lambda batch, **options: sizes.append(batch.tokens.shape[1]) or hidden(batch, **options),
    )
    return sizes


def test_what_is_known_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = CausalTrees(model_of())
    (tree,) = trees.start([some_tokens(12)])
    sizes = calls(trees.model, monkeypatch)
    (first,) = trees.grow([Growth.of(tree, PATHS)])
    assert first == list(range(1, 11))
    early = trees.log_probs([(tree, [0, 3])])[0]
    (again,) = trees.grow([Growth.of(tree, PATHS)])
    assert again == first
    assert sizes == [10]
    (mixed,) = trees.grow([Growth(tree, [0, 11, 11, 0], [5, 6, 99, 5])])
    assert mixed == [1, 2, 11, 1]  # known, known behind it, new, and the first once more
    assert sizes == [10, 1]
    assert torch.equal(trees.log_probs([(tree, [0, 3])])[0], early)
    assert tree.child(0, 5) == 1
    assert tree.child(0, 99) is None
    assert tree.find((5, 9, 99)) is None
    assert (tree.tokens[11], tree.parents[11], tree.depth[11]) == (99, 1, 2)


def test_what_prompts_share_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = CausalTrees(model_of())
    sizes = calls(trees.model, monkeypatch)
    started = trees.start(prompts_of("alike"))
    assert sizes == [50, 1 + 9 + 3 + 20]
    sizes.clear()
    again = trees.start(prompts_of("alike"), started[0].prefix)
    assert sizes == [1 + 9 + 3 + 20]
    for tree in (*started, *again):
        check(trees, tree)
    assert trees.start([]) == []


def test_a_base_that_holds_a_whole_prompt() -> None:
    trees = CausalTrees(tiny_language_model())
    base = trees.model.prefix(some_tokens(30))
    for tree in trees.start([some_tokens(30), some_tokens(4), (7, 8)], base):
        trees.grow([Growth.of(tree, PATHS)])
        check(trees, tree)


def test_log_probabilities_of_single_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_scores, "ROWS", 2)
    trees = CausalTrees(tiny_language_model())
    one, other = trees.start([some_tokens(5), some_tokens(9)])
    trees.grow([Growth.of(one, PATHS), Growth.of(other, PATHS[:2])])
    asked = [Growth(one, [7, 0, 7, 3], [5, 5, 6, 100]), Growth(other, [], []), Growth(other, [1, 0], [9, 9])]
    found = trees.token_log_probs(asked)
    for growth, values in zip(asked, found, strict=True):
        assert values.dtype == torch.float32
        assert values.shape == (len(growth.tokens),)
        rows = trees.log_probs([(growth.tree, growth.parents)])[0]
        torch.testing.assert_close(values, rows[range(len(values)), list(growth.tokens)], **CLOSE)
    assert trees.token_log_probs([]) == trees.log_probs([]) == []


def test_other_devices_kernel_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_flash", attention._plain)
    trees = CausalTrees(model_of("qwen2"))
    (tree,) = trees.start([some_tokens(12)])
    for paths in (PATHS[:3], PATHS):
        trees.grow([Growth.of(tree, paths)])
    check(trees, tree, "qwen2")


def test_out_of_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = CausalTrees(model_of(token_budget=64))
    hidden = trees.model.hidden

    def cramped(batch: Any, **options: Any) -> Tensor:
        if batch.tokens.shape[1] > 20:
            raise torch.OutOfMemoryError
        return hidden(batch, **options)

    monkeypatch.setattr(trees.model, "hidden", cramped)
    with pytest.warns(UserWarning, match="model x: out of memory; going on with 16 tokens at a time"):
        started = trees.start([some_tokens(10, seed) for seed in range(3)])
    trees.grow([Growth.of(tree, PATHS) for tree in started])
    for tree in started:
        check(trees, tree)


def test_out_of_memory_for_a_single_token(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = CausalTrees(model_of(token_budget=1))
    monkeypatch.setattr(trees.model, "hidden", Mock(side_effect=torch.OutOfMemoryError))
    with pytest.raises(torch.OutOfMemoryError):
        trees.start([(5,)])


def test_refusals() -> None:
    trees = CausalTrees(tiny_language_model())
    (tree,) = trees.start([(5, 6)])
    for parents, tokens, message in (
        ([1], [5], "parent 1: there are 1 nodes at this point"),
        ([0, 2], [5, 5], "parent 2: there are 2 nodes at this point"),
        ([-1], [5], "parent -1: there are 1 nodes"),
        ([0], [10**6], "token 1000000: the model has tokens 0 to 372"),
        ([0], [-1], "token -1"),
    ):
        with pytest.raises(ValueError, match=message):
            trees.grow([Growth(tree, parents, tokens)])
    with pytest.raises(ValueError, match="one growth a tree"):
        trees.grow([Growth(tree, [0], [5]), Growth(tree, [0], [6])])
    with pytest.raises(ValueError, match="a tree belongs to the model that started it"):
        CausalTrees(model_of()).grow([Growth(tree, [0], [5])])
    with pytest.raises(ValueError, match="a tree belongs to the model"):
        CausalTrees(model_of()).log_probs([(tree, [0])])
    with pytest.raises(ValueError, match="a prompt has at least one token"):
        trees.start([(5,), ()])
    with pytest.raises(IndexError):
        trees.log_probs([(tree, [1])])
    assert len(tree) == 1


def test_a_path_beyond_the_window() -> None:
    trees = CausalTrees(tiny_language_model("gemma3", window=12))
    (tree,) = trees.start([some_tokens(9)])
    trees.grow([Growth.of(tree, [(5, 6, 7)])])
    with pytest.raises(
        ModelError, match="a prompt of 13 tokens is longer than the model's attention window of 12"
    ):
        trees.grow([Growth.of(tree, [(5, 6, 7, 8)])])
    assert len(tree) == 4


def test_sizes_and_ends() -> None:
    model = tiny_language_model()
    trees = CausalTrees(model)
    assert trees.vocabulary == model.embeddings.shape[0] == 373
    assert trees.ends == end_tokens(model) == {0, 2}
    (tree,) = trees.start([some_tokens(10)], Prefix())
    assert isinstance(tree, CausalTree)
    before = tree.nbytes
    assert before >= 10 * 2 * 2 * 2 * 8 * 4  # tokens, layers, keys and values, heads, their width, float32
    trees.grow([Growth.of(tree, [some_tokens(40)])])
    assert tree.nbytes - before >= 40 * (2 * 2 * 2 * 8 * 4 + 32 * 4)

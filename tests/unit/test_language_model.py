"""Shared prefixes, branches, gradients: always what a plain forward pass gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from testbed.errors import ModelError
from testbed.language import Fork, Frozen, LanguageModel, Prefix, Row, attention, capacity, common_prefix
from testbed.language.layout import blocks
from testbed.language.sharing import log_probs, shared_length
from testbed.testing import tiny_language_model, tiny_tokenizer
from testbed.testing.tiny import FAMILIES, tiny_network

CLOSE = {"rtol": 0, "atol": 5e-5}
tokens = st.integers(3, 370)
branches = st.lists(st.lists(tokens, min_size=1, max_size=5).map(tuple), min_size=1, max_size=4).map(tuple)


def plain(family: str, trunk: Sequence[int], branch: Sequence[int]) -> Tensor:
    """Log-probabilities of the branch's tokens by one forward pass of the untouched network."""
    ids = torch.tensor([[*trunk, *branch]])
    with torch.no_grad():
        logits = NETWORKS[family](ids).logits[0].float().log_softmax(-1)
    start = len(trunk) - 1
    return torch.stack([logits[start + index, token] for index, token in enumerate(branch)])


NETWORKS = {family: tiny_network(family) for family in FAMILIES}


def some_tokens(count: int, seed: int = 0) -> tuple[int, ...]:
    return tuple(int(token) for token in np.random.default_rng(seed).integers(3, 370, count))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("cut", [0, 1, 30, 39])
@pytest.mark.parametrize("merge", [True, False])
def test_prefix_and_branches_equal_a_plain_pass(family: str, cut: int, merge: bool) -> None:
    model = LanguageModel(
        model=tiny_network(family), tokenizer=tiny_tokenizer(), name="x", fingerprint="x", merge=merge
    )
    trunks = [some_tokens(30) + some_tokens(length, length) for length in (10, 3, 25)]
    answers = ((5,), (7, 8, 9), some_tokens(6, 1))
    prefix = model.prefix(trunks[0][: min(cut, 30)]) if cut else Prefix()
    rows = [Row(trunk[len(prefix) :], answers) for trunk in trunks]
    for trunk, found in zip(trunks, model.log_probs(prefix, rows), strict=True):
        for branch, values in zip(answers, found, strict=True):
            torch.testing.assert_close(values, plain(family, trunk, branch), **CLOSE)


@given(
    st.lists(st.tuples(st.lists(tokens, min_size=1, max_size=12), branches), min_size=1, max_size=5),
    st.integers(0, 40),
)
def test_rows_of_any_shape(rows: list[tuple[list[int], tuple[tuple[int, ...], ...]]], length: int) -> None:
    model = tiny_language_model()
    start = some_tokens(length, 9)
    prefix = model.prefix(start) if start else Prefix()
    found = model.log_probs(prefix, [Row(tuple(trunk), answers) for trunk, answers in rows])
    for (trunk, answers), values in zip(rows, found, strict=True):
        for branch, value in zip(answers, values, strict=True):
            torch.testing.assert_close(value, plain("llama", (*start, *trunk), branch), **CLOSE)


forks = st.tuples(st.integers(0, 11), st.lists(tokens, min_size=1, max_size=6).map(tuple), branches)


@given(
    st.lists(
        st.tuples(st.lists(tokens, min_size=1, max_size=12), branches, forks | st.none()),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 40),
    st.integers(0, 12),
)
@settings(deadline=None)
def test_a_fork_is_a_text_of_its_own(rows: list[Any], length: int, cut: int) -> None:
    """Whether it stands beside a prefix as it is or as one that holds some of the trunk."""
    model, start = tiny_language_model(), some_tokens(length, 9)
    whole = [
        Row((*start, *trunk), answers, fork=fork and Fork(length + min(fork[0], len(trunk) - 1), *fork[1:]))
        for trunk, answers, fork in rows
    ]
    prefix = model.prefix((*start, *rows[0][0])[: length + cut])
    for row, found in zip(whole, model.log_probs(prefix, [row.beside(prefix) for row in whole]), strict=True):
        expected = [plain("llama", row.trunk, branch) for branch in row.branches]
        if row.fork is not None:
            before = (*row.trunk[: row.fork.at], *row.fork.trunk)
            expected += [plain("llama", before, branch) for branch in row.fork.branches]
        assert len(found) == len(expected)
        for value, wanted in zip(found, expected, strict=True):
            torch.testing.assert_close(value, wanted, **CLOSE)


def test_a_fork_behind_frozen_text() -> None:
    """What is frozen as it was computed for the same text changes nothing, and the fork sees it as well."""
    model, trunk = tiny_language_model(), some_tokens(40)
    prefix = model.prefix(trunk[:36])
    fork = Fork(38 - 30 + 5, (9, 8), ((7, 6), (5,)))
    row = Row((*trunk[10:15], *trunk[30:]), ((4, 5),), 10, Frozen(5, 15, 30), None, fork)
    (found,) = model.log_probs(prefix, [row])
    expected = [plain("llama", trunk, (4, 5))]
    expected += [plain("llama", (*trunk[:38], 9, 8), branch) for branch in fork.branches]
    for value, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(value, wanted, **CLOSE)


def test_score_sums_branches() -> None:
    model = tiny_language_model()
    rows = [Row(some_tokens(5, seed), ((4,), (5, 6))) for seed in range(3)]
    scores = model.score(Prefix(), rows)
    assert scores.shape == (3, 2)
    expected = [[float(plain("llama", row.trunk, branch).sum()) for branch in row.branches] for row in rows]
    torch.testing.assert_close(scores, torch.tensor(expected), **CLOSE)


def test_a_prefix_is_built_on_what_there_is() -> None:
    model = tiny_language_model()
    ids = some_tokens(20)
    whole = model.prefix(ids)
    stepwise = model.prefix(ids, model.prefix((*ids[:12], 3, 3)))
    assert stepwise.token_ids == whole.token_ids == ids
    for one, two in zip(whole.layers, stepwise.layers, strict=True):
        torch.testing.assert_close(one, two, **CLOSE)
    assert model.prefix(ids, whole) is whole
    assert whole.truncated(0) == Prefix()
    assert len(whole.truncated(7)) == whole.truncated(7).layers[0][0].shape[2] == 7


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=8),
    st.integers(1, 12),
)
@settings(max_examples=25)
def test_sharing_changes_nothing(shapes: list[tuple[int, int, int]], worth: int) -> None:
    model = tiny_language_model()
    rows = [
        Row(
            some_tokens(14, 50 + one) + some_tokens(8, 70 + two) + some_tokens(length, length), ((5,), (6, 7))
        )
        for one, two, length in shapes
    ]
    found, computed = log_probs(model, rows, worth=worth)
    for row, values in zip(rows, found, strict=True):
        for branch, value in zip(row.branches, values, strict=True):
            torch.testing.assert_close(value, plain("llama", row.trunk, branch), **CLOSE)
    assert 0 < computed <= sum(row.width for row in rows)


def test_sharing_saves_what_is_common() -> None:
    model = tiny_language_model()
    common = some_tokens(100)
    rows = [Row((*common, token), ((5,),)) for token in range(10, 20)]
    assert log_probs(model, rows)[1] == 110
    assert log_probs(model, rows, model.prefix(common))[1] == 10
    assert shared_length([row.trunk for row in rows]) == 100
    assert shared_length([common, common]) == 99


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(1, 60))
def test_blocks_keep_all_rows_and_the_budget(widths: list[int], budget: int) -> None:
    rows = [Row((3,) * width, ((4,),)) for width in widths]
    made = blocks(Prefix(), rows, budget)
    assert sorted(index for indices, _ in made for index in indices) == list(range(len(rows)))
    for indices, block in made:
        assert block.rows == tuple(rows[index] for index in indices)
        assert len(indices) == 1 or block.size <= budget
        assert max(row.width for row in block.rows) <= 1.1 * min(row.width for row in block.rows)


def test_a_small_budget_gives_the_same_numbers() -> None:
    options = {"model": tiny_network("llama"), "tokenizer": tiny_tokenizer(), "name": "x", "fingerprint": "x"}
    rows = [Row(some_tokens(4 + seed, seed), ((5,), (6, 7))) for seed in range(5)]
    one = LanguageModel(**options, token_budget=1).score(Prefix(), rows)  # type: ignore[arg-type]
    torch.testing.assert_close(one, tiny_language_model().score(Prefix(), rows), **CLOSE)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("cut", [0, 6])
def test_gradients_equal_autograd_on_one_hot_tokens(family: str, cut: int) -> None:
    model = tiny_language_model(family)
    trunk, answers = some_tokens(16), ((5, 6), (9,))
    span = slice(8, 12)

    def loss(parts: list[Tensor]) -> Tensor:
        return -parts[0].sum() / 2 + parts[1].sum().tanh()

    prefix = model.prefix(trunk[:cut]) if cut else Prefix()
    shifted = slice(span.start - cut, span.stop - cut)
    slope, value = model.gradient(prefix, Row(trunk[cut:], answers), shifted, loss)

    network = NETWORKS[family]
    layer = network.get_input_embeddings()
    every = layer(torch.arange(layer.weight.shape[0])).detach()
    one_hot = torch.eye(every.shape[0])[list(trunk)].requires_grad_(True)
    totals = []
    for branch in answers:
        inputs = torch.cat([one_hot @ every, layer(torch.tensor(branch))])[None]
        logits = network(inputs_embeds=inputs).logits[0].log_softmax(-1)
        totals.append(torch.stack([logits[len(trunk) - 1 + i, token] for i, token in enumerate(branch)]))
    wanted = loss(totals)
    (expected,) = torch.autograd.grad(wanted, one_hot)
    assert value == pytest.approx(float(wanted.detach()), abs=1e-4)
    torch.testing.assert_close(slope, expected[span], rtol=1e-3, atol=1e-4)


def test_gradients_point_where_the_loss_goes() -> None:
    """First order: moving a little from one token to another changes the loss as the gradient says."""
    model = tiny_language_model()
    trunk, answers = some_tokens(12), ((5, 6),)
    slope, _ = model.gradient(Prefix(), Row(trunk, answers), slice(4, 5), lambda parts: -parts[0].sum())
    network, weight = NETWORKS["llama"], NETWORKS["llama"].get_input_embeddings().weight
    double = tiny_network("llama").double()

    def at(share: float, token: int) -> float:
        inputs = weight[[*trunk, 5]].double().clone()
        inputs[4] = (1 - share) * weight[trunk[4]] + share * weight[token]
        with torch.no_grad():
            logits = double(inputs_embeds=inputs[None]).logits[0].log_softmax(-1)
        return -float(logits[11, 5] + logits[12, 6])

    assert network is not double
    for token in (10, 50, 200):
        difference = (at(1e-4, token) - at(-1e-4, token)) / 2e-4
        assert difference == pytest.approx(float(slope[0, token] - slope[0, trunk[4]]), rel=2e-2, abs=1e-3)


def test_methods_leave_no_gradients_behind() -> None:
    model = tiny_language_model()
    model.gradient(Prefix(), Row(some_tokens(5), ((5,),)), slice(1, 3), lambda parts: parts[0].sum())
    assert all(weight.grad is None and not weight.requires_grad for weight in model.model.parameters())


def test_beyond_a_sliding_window_is_refused() -> None:
    model = tiny_language_model("gemma3", window=16)
    near = Row(some_tokens(10), ((5, 6),))
    wide = tiny_language_model("gemma3")
    torch.testing.assert_close(model.score(Prefix(), [near]), wide.score(Prefix(), [near]), **CLOSE)
    with pytest.raises(
        ModelError, match="a prompt of 21 tokens is longer than the model's attention window of 16"
    ):
        model.log_probs(Prefix(), [Row(some_tokens(20), ((5, 6),))])
    assert wide.window == 4096
    assert tiny_language_model("llama").window is None
    assert tiny_language_model("qwen2").window is None


def test_pieces_and_round_trips() -> None:
    model = tiny_language_model()
    assert len(model.pieces) == model.embeddings.shape[0]
    assert [model.pieces[token] for token in range(3)] == ["", "", ""]
    for text in ("coffee machine", "é \u202e <b>", "  two  blanks "):
        assert model.decode(model.encode(text)) == text
        assert "".join(model.pieces[token] for token in model.encode("coffee $150")) == "coffee $150"
    assert model.encode_many([]) == []


def test_continuations_are_tokens_in_context() -> None:
    model = tiny_language_model()
    (first, second) = model.continuations("Best:\n1.", [" coffee\n", " steel machine\n"])
    assert model.decode(first) == " coffee\n"
    assert tuple(model.encode("Best:\n1. steel machine\n"))[len(model.encode("Best:\n1.")) :] == second


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_generation_equals_the_most_likely_token_each_time(family: str) -> None:
    model = tiny_language_model(family)
    ids = list(some_tokens(9))
    written = model.generate(ids, max_new_tokens=6)
    for token in written:
        with torch.no_grad():
            assert int(NETWORKS[family](torch.tensor([ids])).logits[0, -1].argmax()) == token
        ids.append(token)
    assert len(written) == 6 or model.tokenizer.eos_token_id is not None


def test_sampling_follows_the_seed_and_leaves_global_state_alone() -> None:
    model = tiny_language_model()
    before = torch.get_rng_state()
    found = [
        model.generate(some_tokens(5), max_new_tokens=12, temperature=3.0, seed=seed) for seed in (1, 1, 2)
    ]
    assert found[0] == found[1] != found[2]
    assert torch.equal(before, torch.get_rng_state())


@given(st.lists(tokens, max_size=9), st.lists(tokens, max_size=9))
def test_common_prefix(one: list[int], two: list[int]) -> None:
    length = common_prefix(one, two)
    assert one[:length] == two[:length]
    assert length in (len(one), len(two)) or one[length] != two[length]


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_rows_branch_off_anywhere(family: str, merge: bool) -> None:
    """Rows that leave one prefix at different places, and rows of another prefix, in one pass."""
    model = LanguageModel(
        model=tiny_network(family), tokenizer=tiny_tokenizer(), name="x", fingerprint="x", merge=merge
    )
    one, two = some_tokens(30), some_tokens(12, 9)
    trunks = [
        (*one[:start], *some_tokens(length, 50 + start))
        for start, length in ((30, 4), (17, 9), (0, 5), (29, 1))
    ]
    answers = ((7, 8), (9,))
    prefix, other = model.prefix(one), model.prefix(two)
    rows = [Row(trunk, answers, watched=(len(trunk) - 1, len(trunk))).beside(prefix) for trunk in trunks]
    assert [row.start for row in rows] == [30, 17, 0, 28]
    first, second = model.log_probs_of([(prefix, rows), (other, [Row((5,), answers)])])
    for trunk, parts in zip([*trunks, (*two, 5)], [*first, *second], strict=True):
        for branch, values in zip(answers, parts, strict=False):
            torch.testing.assert_close(values, plain(family, trunk, branch), **CLOSE)
    for trunk, (*_, watched) in zip(trunks, first, strict=True):
        torch.testing.assert_close(watched, plain(family, trunk[:-1], trunk[-1:]), **CLOSE)


def test_frozen_tail_is_exact_when_nothing_is_frozen() -> None:
    """With the same text, or with the whole tail recomputed, the approximation is none."""
    model = tiny_language_model()
    before, old, new, tail = some_tokens(20), some_tokens(4, 1), some_tokens(4, 2), some_tokens(15, 3)
    whole = model.prefix((*before, *old, *tail)[:-1])
    rows = [
        Row((*new, *tail), ((5, 6),), 20, Frozen(4, 24, 24)),
        Row((*old, *tail[-3:]), ((5, 6),), 20, Frozen(4, 24, 36)),
        Row((*old[2:], *tail[-3:]), ((5, 6),), 22, Frozen(2, 24, 36)),
        Row((*new, *tail[-3:]), ((5, 6),), 20, Frozen(4, 24, 36)),
    ]
    (exact,), (same,), (shared,), (near,) = model.log_probs(whole, rows)
    torch.testing.assert_close(exact, plain("llama", (*before, *new, *tail), (5, 6)), **CLOSE)
    torch.testing.assert_close(same, plain("llama", (*before, *old, *tail), (5, 6)), **CLOSE)
    torch.testing.assert_close(shared, same, **CLOSE)
    assert not torch.allclose(near, same, atol=1e-4)
    assert not torch.allclose(near, exact, atol=1e-6)


def test_gradients_of_the_likelihood_of_the_text_itself() -> None:
    """Both ways in which a token matters: as what is read and as what is predicted."""
    model, network = tiny_language_model(), NETWORKS["llama"]
    trunk, span = some_tokens(12), slice(4, 8)
    row = Row(trunk, ((5,),), watched=(4, 8))
    slope, value = model.gradient(Prefix(), row, span, lambda parts: -parts[1].mean() - parts[0].sum())
    every = network.get_input_embeddings().weight.detach()
    one_hot = torch.eye(every.shape[0])[list(trunk)].requires_grad_(True)
    logs = network(inputs_embeds=(one_hot @ every)[None]).logits[0].log_softmax(-1)
    wanted = -(logs[3:7] * one_hot[4:8]).sum(1).mean() - logs[11, 5]
    (expected,) = torch.autograd.grad(wanted, one_hot)
    assert value == pytest.approx(float(wanted.detach()), abs=1e-4)
    torch.testing.assert_close(slope, expected[span], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_without_a_fused_kernel_gives_the_same(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What devices other than CPUs use, a few rows of logits at a time."""
    model = tiny_language_model(family)
    prefix = model.prefix(some_tokens(30))
    rows = [Row(some_tokens(length, length), ((5,), (7, 8, 9))) for length in (4, 9, 9)]
    fused = model.score(prefix, rows)
    monkeypatch.setattr(attention, "_flash", attention._plain)
    monkeypatch.setattr(attention, "LOGITS", 500)
    torch.testing.assert_close(model.score(prefix, rows), fused, **CLOSE)


def test_out_of_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"model": tiny_network("llama"), "tokenizer": tiny_tokenizer(), "name": "x", "fingerprint": "x"}
    model = LanguageModel(**options, token_budget=64)  # type: ignore[arg-type]
    rows = [Row(some_tokens(6, seed), ((5,), (6, 7))) for seed in range(9)]
    expected = model.score(Prefix(), rows)
    hidden = model.hidden

    def cramped(batch: Any, **options: Any) -> Tensor:
        if batch.tokens.shape[1] > 20:
            raise torch.OutOfMemoryError
        return hidden(batch, **options)

    monkeypatch.setattr(model, "hidden", cramped)
    with pytest.warns(UserWarning, match="model x: out of memory; going on with 16 tokens at a time"):
        torch.testing.assert_close(model.score(Prefix(), rows), expected, **CLOSE)
    assert model.token_budget == 16


def test_the_budget_follows_the_free_memory() -> None:
    config = tiny_network("llama").config
    assert capacity.token_budget(config, torch.device("cpu")) == 4096
    some, more = (capacity.tokens_for(free, config) for free in (2 * 10**7, 10**8))
    assert 256 < some < more < capacity.MOST_TOKENS == capacity.tokens_for(10**12, config)

"""The sequential model: steps against full recomputation, state spaces, causality, losses by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from retrievers.rearec.model import ModelOptions, SequentialModel
from retrievers.rearec.model.dropout import Dropout
from retrievers.rearec.model.losses import Candidates, ensemble, mixed, progressive, softmax_loss
from retrievers.rearec.model.recurrent import Diagonal
from retrievers.rearec.predict import halted

ITEMS = 30
BACKBONES = ["sasrec", "bert4rec", "s4d", "gru"]
KINDS = [*({"backbone": name} for name in BACKBONES), {"backbone": "sasrec", "norm": "post"}]


def made(**options: Any) -> SequentialModel:
    """A small model in float64, in evaluation mode."""
    given = {"width": 8, "heads": 2, "inner": 16, "length": 12, "steps": 2, "state_size": 4, **options}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = SequentialModel(ModelOptions(**given), ITEMS).double()
    for space in getattr(model.backbone, "spaces", ()):
        space.turn.data = space.turn.data.double()
    return model.eval()


def histories(rows: int = 3, length: int = 7) -> Tensor:
    return torch.randint(ITEMS, (rows, length), generator=torch.Generator().manual_seed(1))


def last(rows: int = 3, length: int = 7) -> Tensor:
    return torch.full((rows, 1), length - 1)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_without_steps_the_state_is_the_backbones(options: dict[str, Any]) -> None:
    model = made(**options)
    table, seen = model.items.table(), histories()
    found = model.states(table, seen, last(), steps=0)
    read, _ = model.backbone.read(model._inputs(table, seen), torch.full((3,), 7), last(), False)
    assert found.shape == (1, 3, 1, 8)
    assert torch.equal(found[0, :, 0], read[:, -1])
    assert torch.equal(found[0], model.states(table, seen, last())[0])


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_cached_steps_equal_a_pass_over_everything(options: dict[str, Any]) -> None:
    model = made(**options)
    table, seen = model.items.table(), histories()
    found = model.states(table, seen, last())
    inputs, total = model._inputs(table, seen), seen.shape[1]
    for step in range(2):
        fed = model.norm(found[step, :, 0] + model.steps[step])
        inputs = torch.cat([inputs, fed[:, None]], 1)
        if options["backbone"] == "bert4rec":
            size = inputs.shape[1]
            places = torch.arange(size)
            mask = (places[None] < total) | (
                places[None] <= places[:, None]
            )  # items both ways, steps causally
            mask[:total, total:] = False
            x = inputs
            for layer in model.backbone.layers:
                x, _ = layer(x, mask[None, None])
            whole = model.backbone.last(x)
        else:
            sizes = torch.full((3,), inputs.shape[1])
            whole, _ = model.backbone.read(inputs, sizes, sizes[:, None] - 1, False)
        assert torch.allclose(whole[:, -1], found[step + 1, :, 0], atol=1e-10)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_a_branch_sees_nothing_behind_its_end(options: dict[str, Any]) -> None:
    model = made(**options)
    table, seen = model.items.table(), histories()
    ends = torch.tensor([[3]] * 3)
    other = seen.clone()
    other[:, 4:] = (other[:, 4:] + 5) % ITEMS
    cut = seen[:, :4]
    found = model.states(table, seen, ends)
    assert torch.allclose(found, model.states(table, other, ends), atol=1e-12)
    assert torch.allclose(found, model.states(table, cut, ends), atol=1e-10)
    changed = seen.clone()
    changed[:, 3] = (changed[:, 3] + 5) % ITEMS
    assert not torch.allclose(found, model.states(table, changed, ends), atol=1e-3)


@pytest.mark.parametrize("backbone", ["sasrec", "s4d", "gru"])
def test_branches_of_a_row_are_those_of_rows_of_their_own(backbone: str) -> None:
    model = made(backbone=backbone)
    table, seen = model.items.table(), histories()
    together = model.states(table, seen, torch.tensor([[1, 4, 6]] * 3))
    for place, end in enumerate((1, 4, 6)):
        alone = model.states(table, seen[:, : end + 1], torch.tensor([[end]] * 3))
        assert torch.allclose(together[:, :, place], alone[:, :, 0], atol=1e-10)


def test_attention_both_ways_takes_one_branch_a_row() -> None:
    model = made(backbone="bert4rec")
    with pytest.raises(ValueError, match="one branch a row"):
        model.states(model.items.table(), histories(), torch.tensor([[1, 4]] * 3))


def test_pause_tokens_do_not_read_the_state() -> None:
    model = made(feedback="pause")
    table, seen = model.items.table(), histories()
    before = model.states(table, seen, last())
    x = model.norm(model.steps[0]).expand(3, 1, 8)
    _, memory = model.backbone.read(model._inputs(table, seen), torch.full((3,), 7), last(), True)
    assert torch.allclose(model.backbone.step(x, memory)[0], before[1], atol=1e-12)
    assert not torch.allclose(before[1], made().states(table, seen, last())[1], atol=1e-3)


def test_a_state_space_is_a_convolution_and_a_recurrence() -> None:
    torch.manual_seed(0)
    space = Diagonal(5, 6).double()
    x = torch.randn(2, 40, 5, dtype=torch.float64)
    convolved = space(x)
    state = torch.zeros(2, 5, 6, dtype=torch.complex128)
    for place in range(40):
        y, state = space.step(x[:, place], state)
        assert torch.allclose(y, convolved[:, place], atol=1e-6)
    assert torch.allclose(space.state(x, torch.tensor([[39], [39]]))[:, 0], state, atol=1e-9)
    factor, _ = space.discrete()
    step = space.log_step.exp()[:, None]
    assert torch.allclose(
        factor, torch.exp(step * (-0.5 + 1j * torch.pi * torch.arange(6, dtype=torch.float64)))
    )


class Plain:
    """Scores are dot products."""

    def scores(self, states: Tensor, table: Tensor) -> Tensor:
        return states @ table.T if table.ndim == 2 else (table @ states.unsqueeze(-1)).squeeze(-1)


PLAIN: Any = Plain()
TABLE = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def test_softmax_by_hand() -> None:
    state, among = torch.tensor([[1.0, 2.0]]), Candidates(TABLE, torch.tensor([1]))
    logits = torch.tensor([1.0, 2.0, 3.0])
    assert softmax_loss(PLAIN, state, among).item() == pytest.approx((logits.logsumexp(0) - 2).item())
    drawn = Candidates(TABLE, torch.tensor([1]), torch.tensor([0, 1]))  # 2 of 3 drawn, one of them the target
    scores = torch.tensor([2.0, 1.0 + torch.tensor(1.5).log()])
    assert softmax_loss(PLAIN, state, drawn).item() == pytest.approx((scores.logsumexp(0) - 2).item())


def test_drawn_negatives_stand_for_all_others() -> None:
    draw = torch.Generator().manual_seed(0)
    table, state = 0.7 * torch.randn(200, 4, generator=draw), torch.randn(3, 4, generator=draw)
    targets = torch.tensor([5, 9, 77])
    exact = softmax_loss(PLAIN, state, Candidates(table, targets))
    drawn = [
        softmax_loss(PLAIN, state, Candidates(table, targets, torch.randint(200, (100,), generator=draw)))
        for _ in range(300)
    ]
    assert torch.stack(drawn).mean().item() == pytest.approx(exact.item(), abs=0.03)


def test_the_ensemble_loss_by_hand() -> None:
    states = torch.tensor([[[1.0, 2.0]], [[2.0, 0.0]]])
    among = Candidates(TABLE, torch.tensor([2]))
    first, second = (mixed(torch.tensor(values)) for values in ([1.0, 2.0, 3.0], [2.0, 0.0, 2.0]))
    apart = (first.exp() * (first - second)).sum()
    mean = torch.tensor([1.5, 1.0, 2.5])
    expected = mean.logsumexp(0) - 2.5 - 0.1 * apart
    assert ensemble(PLAIN, states, among, 0.1).item() == pytest.approx(expected.item(), abs=1e-6)
    assert ensemble(PLAIN, states, among, 0.0).item() == pytest.approx((mean.logsumexp(0) - 2.5).item())


def test_the_push_apart_is_bounded() -> None:
    states = torch.tensor([[[1e4, 0.0]], [[0.0, 1e4]]], requires_grad=True)
    loss = ensemble(PLAIN, states, Candidates(TABLE, torch.tensor([2])), 1.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert states.grad is not None
    assert torch.isfinite(states.grad).all()


def test_the_progressive_loss_by_hand() -> None:
    states = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [0.0, 2.0]]])
    noisy = states + 0.5
    among = Candidates(TABLE, torch.tensor([0, 1]))
    expected = 0.0
    for step, sharp in ((0, 2.0), (1, 1.0)):
        logits = states[step] @ TABLE.T / sharp
        expected += float((logits.logsumexp(1) - logits[[0, 1], [0, 1]]).mean())
    contrast = noisy[1] @ states[1].T
    expected += 0.7 * float((contrast.logsumexp(1) - contrast.diagonal()).mean())
    assert progressive(PLAIN, states, noisy, among, 2.0, 0.7).item() == pytest.approx(expected, abs=1e-6)


def test_reasoning_halts_when_predictions_agree() -> None:
    states = torch.tensor([[[1.0, 0.0], [0.0, 3.0]], [[1.0, 0.01], [3.0, 0.0]], [[5.0, 0.0], [3.0, 0.01]]])
    found = halted(PLAIN, states, TABLE, 0.01)
    assert torch.equal(found, torch.stack([states[1, 0], states[2, 1]]))
    assert torch.equal(halted(PLAIN, states, TABLE, 0.0), states[2])


def test_text_items_follow_their_texts_and_id_items_do_not() -> None:
    vectors = torch.randn(ITEMS, 6, generator=torch.Generator().manual_seed(0))
    rows, changed = torch.tensor([4]), torch.ones(1, 6)
    for kind in ("text", "both"):
        model = SequentialModel(ModelOptions(width=8, items=kind), ITEMS, vectors).eval()
        table = model.items.table()
        edited = model.items.with_texts(table, rows, changed)
        assert not torch.allclose(edited[4], table[4])
        assert torch.equal(edited[torch.arange(ITEMS) != 4], table[torch.arange(ITEMS) != 4])
        assert torch.allclose(model.items.with_texts(table, rows, vectors[rows]), table, atol=1e-6)
        assert not any("vectors" in name for name in model.state_dict())
    model = SequentialModel(ModelOptions(width=8), ITEMS).eval()
    table = model.items.table()
    assert model.items.with_texts(table, rows, changed) is table


def test_vectors_and_kind_of_items_must_agree() -> None:
    with pytest.raises(ValueError, match="items 'text' need vectors"):
        SequentialModel(ModelOptions(items="text"), ITEMS)
    with pytest.raises(ValueError, match="items 'id' take no vectors"):
        SequentialModel(ModelOptions(), ITEMS, torch.zeros(ITEMS, 3))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.999])
def test_dropout_keeps_the_mean_and_is_a_function_of_the_seed(rate: float) -> None:
    layer, x = Dropout(rate), torch.ones(501, 1001, requires_grad=True)
    torch.manual_seed(3)
    found = layer(x)
    found.sum().backward()
    kept = found != 0
    assert float(kept.double().mean()) == pytest.approx(1 - rate, abs=1 / 256 + 0.002)
    assert float(found.detach().double().mean()) == pytest.approx(1, abs=0.005 if rate < 0.9 else 0.05)
    assert x.grad is not None
    assert torch.equal(x.grad, found.detach())
    torch.manual_seed(3)
    assert torch.equal(layer(x), found)
    assert torch.equal(layer.eval()(x), x)
    by_column = kept.double().mean(0)
    assert float(by_column.min()) >= (1 - rate) - 0.12

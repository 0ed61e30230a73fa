"""Heads and losses, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from retrievers.goals.model import CurvedHeads
from retrievers.goals.model.losses import Margins, softmax_margin, squared_error
from retrievers.goals.scoring import Curvature

TURN = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
"""x + xW with W = this minus one turns x by a right angle."""


def turned() -> CurvedHeads:
    """Heads whose `after` turns by a right angle; `before` leaves everything as it is."""
    heads = CurvedHeads(2)
    heads.later.data = TURN - torch.eye(2)
    return heads


def test_heads_begin_as_plain_cosine_of_unit_length() -> None:
    heads = CurvedHeads(8)
    vectors = normalize(torch.randn(5, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    for view in (heads.before(vectors, even=True), heads.before(vectors, even=False), heads.after(vectors)):
        assert torch.allclose(view, vectors, atol=1e-6)
    generator = torch.Generator().manual_seed(1)
    for weight in heads.parameters():
        weight.data.normal_(generator=generator)
    assert torch.allclose(heads.after(vectors).norm(dim=-1), torch.ones(5))
    plain = Curvature.plain(vectors.numpy())
    cosines = plain.before(1) @ plain.after.T
    assert np.array_equal(cosines, cosines.T)
    curved = Curvature.of(vectors.numpy(), heads)
    assert not np.allclose(
        curved.before(1) @ curved.after.T, (curved.before(1) @ curved.after.T).T, atol=0.01
    )
    assert np.allclose(curved.even, heads.before(vectors, even=True).detach().numpy(), atol=1e-6)
    assert curved.before(2) is curved.even
    assert curved.before(3) is curved.odd


def test_squared_error_by_hand() -> None:
    heads = turned()
    x, y = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    before, after = torch.stack([x, x, y]), torch.stack([x, y, x])
    # After turned: x → y, y → −x. Cosines: x·y = 0, x·(−x) = −1, y·y = 1.
    labels = torch.tensor([0.8, 0.0, 0.6])
    even = torch.tensor([False, True, False])
    loss = squared_error(heads, before, after, even, labels)
    assert float(loss.detach()) == pytest.approx((0.8**2 + 1.0 + 0.4**2) / 3)
    heads.even.data = -2 * torch.eye(2)  # even views point the other way: the second cosine becomes 1
    after[1] = y
    assert float(squared_error(heads, before, after, even, labels).detach()) == pytest.approx(
        (0.64 + 1.0 + 0.16) / 3
    )
    labels[1] = 1.0
    assert float(squared_error(heads, before, after, even, labels).detach()) == pytest.approx(
        (0.64 + 0.0 + 0.16) / 3
    )


def test_softmax_and_margin_by_hand() -> None:
    heads = CurvedHeads(2)
    x, y = [1.0, 0.0], [0.0, 1.0]
    cut = torch.tensor([[x] * 5, [y] * 5])
    said = torch.tensor([[0] * 5, [1] * 5])
    # Own cosine 1, the other's 0, reverse 1: softmax −log(e^(1/t) / (e^(1/t) + 1)), margin m − 1 + 1.
    softmax = math.log(1 + math.exp(-1 / 0.5))
    loss = softmax_margin(heads, cut, said, Margins(temperature=0.5, margin=0.1, weight=3.0))
    assert float(loss.detach()) == pytest.approx(softmax + 3 * 0.1, abs=1e-6)
    # An utterance that both windows have does not compete with itself: nothing is left to be mistaken for.
    same = softmax_margin(heads, cut, torch.zeros(2, 5, dtype=torch.int32), Margins(0.5, 0.0, 1.0))
    assert float(same.detach()) == pytest.approx(0.0, abs=1e-6)


def test_distances_weigh_as_the_labels() -> None:
    heads = CurvedHeads(2)
    x, y = [1.0, 0.0], [0.0, 1.0]
    said = torch.tensor([[0, 1, 1, 1, 1], [2, 3, 3, 3, 3]])
    losses = []
    for distance in range(1, 5):
        cut = torch.tensor([[x] * 5, [y] * 5])
        cut[:, distance] = cut[:, distance].flip(0)  # at this distance the wrong one looks right
        losses.append(float(softmax_margin(heads, cut, said, Margins(0.5, 0.0, 0.0)).detach()))
    good, bad = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    for loss, label in zip(losses, (0.8, 0.6, 0.4, 0.2), strict=True):
        assert loss == pytest.approx((label * bad + (2 - label) * good) / 2, abs=1e-5)


def test_the_margin_alone_teaches_direction() -> None:
    generator = torch.Generator().manual_seed(0)
    cut = normalize(torch.randn(48, 5, 16, generator=generator), dim=-1)
    cut[:, 1:] = normalize(cut[:, 1:] + torch.linspace(0.1, 0.6, 4)[None, :, None], dim=-1)  # a drift
    said = torch.arange(48 * 5, dtype=torch.int32).reshape(48, 5)
    heads = CurvedHeads(16)
    optimizer = torch.optim.Adam(heads.parameters(), lr=0.01)
    how = Margins(0.05, 0.1, 3.0)
    first = float(softmax_margin(heads, cut, said, how).detach())
    for _ in range(30):
        optimizer.zero_grad()
        loss = softmax_margin(heads, cut, said, how)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert float(loss.detach()) < 0.8 * first
    forward = (heads.before(cut[:, 0], even=False) * heads.after(cut[:, 1])).sum(-1)
    backward = (heads.before(cut[:, 1], even=False) * heads.after(cut[:, 0])).sum(-1)
    assert float((forward > backward).float().mean()) > 0.85

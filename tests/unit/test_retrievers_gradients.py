"""Gradients through sentence encoders: tokens of the edit, finite differences, a search that they lead."""

from __future__ import annotations

import pytest
import torch

from attacks.objectives import FirstItem, Margin
from retrievers.dense import Dense
from retrievers.encoded import EncodedSurface, folded
from retrievers.shown import Documents
from testbed.language.encoder import load_encoder
from testbed.language.encoder_tokens import NetworkTokens
from testbed.protocols import Context, Probe
from testbed.testing import ToyEnvironment, check_stage
from testbed.testing.toy_world import toy_catalog
from testbed.types import Request, Situation, Target

TARGET = Target("grand", "Description")


def context(text: str = "something quiet and cheap for two people") -> Context:
    return Context(Request("r", text), Situation("r", 0), "grand", 0)


def test_the_dense_stage_keeps_its_promises() -> None:
    check_stage(Dense(k=4))


def test_the_gradient_names_the_best_word_to_write() -> None:
    catalog = toy_catalog()
    stage = Dense(k=6).build(catalog, ToyEnvironment())
    slate = catalog.source(TARGET.edit("steel"))
    found, usage = stage.gradient(context(), slate, TARGET, FirstItem())
    pieces = stage.surface(TARGET).pieces
    promised = [pieces[int(token)] for token in found.gradient[0].argsort()[:4]]
    losses, _ = stage.losses(
        Probe(context(), [catalog.source(TARGET.edit(word)) for word in pieces[1:]]), FirstItem()
    )
    assert pieces[1 + int(losses.argmin())] in promised
    assert usage.gradient_calls == 1


@pytest.mark.slow
def test_gradients_of_a_real_encoder_are_those_of_its_cosines() -> None:
    catalog, encoder = toy_catalog(), load_encoder("minilm")
    surface = EncodedSurface(encoder, Documents(catalog, ("Name", "Description")), TARGET)
    aim = torch.from_numpy(encoder.encode(["a quiet machine"])[0])
    texts = ["silent morning", "Silent Morning", "a\x00b", "\u2603" * 3]
    silent, same, *others = surface.encode(texts)
    assert silent == same is not None
    assert others[1] is None
    found = surface.gradient(catalog.source(TARGET.edit("silent morning")).listings[2], lambda one: one @ aim)
    assert found.token_ids == silent
    shown = surface._text("silent morning")
    assert abs(found.loss - float(encoder.encode([shown])[0] @ aim.numpy())) < 1e-5
    # On the way from one token's embedding to another's, the loss changes as the slope says.
    tokens = NetworkTokens(encoder._model)
    (ids,) = tokens.encode([shown])
    old, new, step = silent[0], 3000, 0.02
    table = tokens.table.clone()
    tokens.table = table
    moved = (table[new] - table[old]) * step
    table[old] += moved
    ahead = tokens.slope(ids, slice(0, 1), lambda one: one @ aim)[1]
    table[old] -= 2 * moved
    behind = tokens.slope(ids, slice(0, 1), lambda one: one @ aim)[1]
    told = float(found.gradient[0, new] - found.gradient[0, old])
    assert (ahead - behind) / (2 * step) == pytest.approx(told, rel=0.05, abs=2e-3)


def test_a_listing_without_an_edit_has_no_gradient() -> None:
    catalog = toy_catalog()
    stage = Dense(k=6).build(catalog, ToyEnvironment())
    with pytest.raises(ValueError, match="no edit"):
        stage.gradient(context(), catalog.source(), TARGET, Margin())


def test_what_encoders_do_not_tell_apart() -> None:
    assert folded("Éclair  NO.1") == folded("eclair no . 1")
    assert folded("ab") != folded("ac")
